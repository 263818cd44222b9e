package compose

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// stack is a compose project on a Docker engine, under a name that is nobody
// else's.
type stack struct {
	t   *testing.T
	env []string
}

const stackName = "tripcast-test"

// newStack uses the compose plugin at a path, and takes the whole project down
// when the test has ended, whatever happened.
func newStack(t *testing.T, plugin string) *stack {
	t.Helper()
	config := t.TempDir()
	if err := os.Mkdir(filepath.Join(config, "cli-plugins"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(plugin, filepath.Join(config, "cli-plugins/docker-compose")); err != nil {
		t.Fatal(err)
	}
	s := &stack{t, append(os.Environ(), "DOCKER_CONFIG="+config, "COMPOSE_PROJECT_NAME="+stackName, "COMPOSE_PROGRESS=plain")}
	t.Cleanup(func() {
		if t.Failed() {
			out, _ := s.command(context.Background(), s.files("logs", "--tail=40")...).CombinedOutput()
			t.Logf("the last the containers said:\n%s", out)
		}
		if out, err := s.command(context.Background(), s.files("down", "--volumes", "--remove-orphans", "--timeout=5")...).CombinedOutput(); err != nil {
			t.Errorf("docker compose down: %v\n%s", err, out)
		}
	})
	return s
}

// files is docker compose with the files of the embedded variant.
func (s *stack) files(args ...string) []string {
	return append([]string{"compose", "-f", root + "/local/compose.yaml", "-f", root + "/local/compose.embedded.yaml"}, args...)
}

func (s *stack) command(ctx context.Context, args ...string) *exec.Cmd {
	command := exec.CommandContext(ctx, "docker", args...)
	command.Env = s.env
	return command
}

// docker runs a command that has to succeed, and returns what it says on its
// standard output.
func (s *stack) docker(args ...string) string {
	s.t.Helper()
	command := s.command(s.t.Context(), args...)
	var stdout, both bytes.Buffer
	command.Stdout, command.Stderr = &tee{&stdout, &both}, &both
	if err := command.Run(); err != nil {
		s.t.Fatalf("docker %s: %v\n%s", strings.Join(args, " "), err, both.String())
	}
	return strings.TrimSpace(stdout.String())
}

// tee writes to two buffers.
type tee struct{ one, other *bytes.Buffer }

func (t *tee) Write(p []byte) (int, error) {
	t.other.Write(p)
	return t.one.Write(p)
}

func (s *stack) compose(args ...string) string {
	s.t.Helper()
	return s.docker(s.files(args...)...)
}

// state is what the engine says of a container.
type state struct {
	ID           string `json:"Id"`
	RestartCount int
	State        struct {
		Status   string
		Pid      int
		ExitCode int
		Health   struct{ Status string }
	}
}

func (s *stack) inspect(service string) state {
	s.t.Helper()
	var found []state
	text := s.docker("inspect", stackName+"-"+service+"-1")
	if err := json.Unmarshal([]byte(text), &found); err != nil || len(found) != 1 {
		s.t.Fatalf("docker inspect says of %s: %v\n%s", service, err, text)
	}
	return found[0]
}

// left are the containers, networks and volumes that the engine has of the
// project.
func (s *stack) left() []string {
	s.t.Helper()
	var all []string
	for _, what := range [][]string{{"ps", "-a"}, {"network", "ls"}, {"volume", "ls"}} {
		all = append(all, strings.Fields(s.docker(append(what, "-q", "--filter=label=com.docker.compose.project="+stackName)...))...)
	}
	return all
}

// await asks until the answer is yes.
func await(t *testing.T, what string, patience time.Duration, asked func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !asked(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("no %s within %v", what, patience)
		}
	}
}

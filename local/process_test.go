package main

import (
	"errors"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// asCommand in the environment makes the tests' binary the command itself.
const asCommand = "TRIPCAST_TEST_AS_COMMAND"

func TestMain(m *testing.M) {
	if os.Getenv(asCommand) != "" {
		main()
	}
	os.Exit(m.Run())
}

// process is a command that runs on its own.
type process struct {
	name   string
	cmd    *exec.Cmd
	out    output // what it prints
	log    output // and says
	ended  chan struct{}
	failed error // once it has ended
}

// spawn runs a binary. When the test ends it is asked to stop, and has to end
// well.
func spawn(t *testing.T, name, binary string, env []string, arguments ...string) *process {
	t.Helper()
	return spawnIn(t, ".", name, binary, env, arguments...)
}

// spawnIn runs a binary in a folder.
func spawnIn(t *testing.T, folder, name, binary string, env []string, arguments ...string) *process {
	t.Helper()
	p := &process{name: name, cmd: exec.Command(binary, arguments...), ended: make(chan struct{})}
	p.cmd.Dir = folder
	p.cmd.Env = append([]string{"PATH=" + os.Getenv("PATH")}, env...)
	p.cmd.Stdout, p.cmd.Stderr = &p.out, &p.log
	if err := p.cmd.Start(); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	go func() {
		defer close(p.ended)
		p.failed = p.cmd.Wait()
	}()
	t.Cleanup(func() { p.stop(t) })
	return p
}

// local runs the command of this package.
func local(t *testing.T, env []string, arguments ...string) *process {
	t.Helper()
	binary, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return spawn(t, "local "+arguments[0], binary, append(env, asCommand+"=1"), arguments...)
}

func (p *process) stop(t *testing.T) {
	t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		t.Errorf("%s: %v", p.name, err)
	}
	select {
	case <-p.ended:
	case <-time.After(30 * time.Second):
		_ = p.cmd.Process.Kill()
		<-p.ended
		t.Errorf("%s did not stop when it was asked to", p.name)
	}
	if t.Failed() {
		t.Logf("%s ended: %v\n%s", p.name, p.failed, &p.log)
	}
}

// says waits for a word of what the process says that starts like this, and
// returns the rest of it.
func (p *process) says(t *testing.T, start string) string {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if _, rest, ok := strings.Cut(p.log.String(), start); ok && strings.ContainsAny(rest, " \n") {
			return rest[:strings.IndexAny(rest, " \n")]
		}
		select {
		case <-p.ended:
			t.Fatalf("%s ended before it said %q: %v\n%s", p.name, start, p.failed, &p.log)
		default:
		}
	}
	t.Fatalf("%s does not say %q:\n%s", p.name, start, &p.log)
	return ""
}

// wait waits until the process ends by itself.
func (p *process) wait(t *testing.T) error {
	t.Helper()
	return p.waitWithin(t, 2*time.Minute)
}

func (p *process) waitWithin(t *testing.T, long time.Duration) error {
	t.Helper()
	select {
	case <-p.ended:
		return p.failed
	case <-time.After(long):
		t.Fatalf("%s does not end:\n%s", p.name, &p.log)
		return nil
	}
}

package browser

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// output is what a process prints, for who reads along.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

// tail is the last of it.
func (o *output) tail() string {
	text := o.String()
	return text[max(0, len(text)-8000):]
}

// build builds a command of ours. Under the race detector the monitor is built
// with it as well: it is what is tested.
func build(t *testing.T, folder, pkg string) string {
	t.Helper()
	binary := filepath.Join(folder, filepath.Base(pkg))
	arguments := []string{"build", "-o", binary}
	if raceEnabled && pkg != mainJob {
		arguments = append(arguments, "-race")
	}
	if out, err := exec.CommandContext(t.Context(), "go", append(arguments, pkg)...).CombinedOutput(); err != nil {
		t.Fatalf("building %s: %v\n%s", pkg, err, out)
	}
	return binary
}

// process is a command that runs on its own.
type process struct {
	name   string
	cmd    *exec.Cmd
	log    output
	ended  chan struct{}
	failed error // once it has ended
}

// spawn runs a binary. When the test ends it is asked to stop, and has to end
// well.
func spawn(t *testing.T, binary string, env []string, arguments ...string) *process {
	t.Helper()
	p := &process{name: filepath.Base(binary), cmd: exec.Command(binary, arguments...), ended: make(chan struct{})}
	p.cmd.Env = append([]string{"PATH=" + os.Getenv("PATH")}, env...)
	p.cmd.Stderr = &p.log
	if err := p.cmd.Start(); err != nil {
		t.Fatalf("%s: %v", p.name, err)
	}
	go func() {
		defer close(p.ended)
		p.failed = p.cmd.Wait()
	}()
	t.Cleanup(func() { p.stop(t) })
	return p
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
	if p.failed != nil {
		t.Errorf("%s ended: %v", p.name, p.failed)
	}
	if t.Failed() {
		t.Logf("the last that %s said:\n%s", p.name, p.log.tail())
	}
}

// says waits for a word of what the process says that starts like this, and
// returns the rest of it.
func (p *process) says(t *testing.T, start string) (word string) {
	t.Helper()
	p.await(t, "says "+start, func() bool {
		_, rest, ok := strings.Cut(p.log.String(), start)
		if ok = ok && strings.ContainsAny(rest, " \n"); ok {
			word = rest[:strings.IndexAny(rest, " \n")]
		}
		return ok
	})
	return word
}

// serves waits until the process answers at a URL.
func (p *process) serves(t *testing.T, url string) {
	t.Helper()
	p.await(t, "serves "+url, func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			t.Fatal(err)
		}
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			return false
		}
		_ = response.Body.Close()
		return response.StatusCode == http.StatusOK
	})
}

func (p *process) await(t *testing.T, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !done(); time.Sleep(20 * time.Millisecond) {
		select {
		case <-p.ended:
			t.Fatalf("%s ended before it %s: %v\n%s", p.name, what, p.failed, p.log.tail())
		default:
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s never %s:\n%s", p.name, what, p.log.tail())
		}
	}
}

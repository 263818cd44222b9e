// Package process builds a function as it is deployed and runs it as a process
// of its own, for what tests or measures the very binary.
package process

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

// Build builds the function of functions/cmd with this name into a folder, with
// the flags of the images, and returns the path of the binary.
func Build(ctx context.Context, dir, name string) (string, error) {
	binary := filepath.Join(dir, name)
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags=-s -w", "-tags=lambda.norpc",
		"-o", binary, "tripcast.dev/functions/cmd/"+name)
	build.Env = append(build.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build %s: %w\n%s", name, err, out)
	}
	return binary, nil
}

// stopWithin is how long a function may take to stop before it is killed.
const stopWithin = 10 * time.Second

// Process is a function that runs.
type Process struct {
	URL string // where it serves, without a slash at the end
	PID int

	command *exec.Cmd
	log     log
	ended   chan struct{} // closed once err is set
	err     error
}

// Start runs a function and returns once it serves. It listens on a free port
// and is told nothing but env: NAME=value each, and no variable of this process.
// It is stopped when ctx is done, or by Stop.
func Start(ctx context.Context, binary string, env ...string) (*Process, error) {
	p := &Process{ended: make(chan struct{}), log: log{address: make(chan string, 1)}}
	p.command = exec.CommandContext(ctx, binary)
	p.command.Env = append([]string{"LISTEN_ADDRESS=127.0.0.1:0"}, env...)
	p.command.Cancel = func() error { return p.command.Process.Signal(syscall.SIGTERM) }
	p.command.WaitDelay = stopWithin
	stderr, err := p.command.StderrPipe()
	if err != nil {
		return nil, fmt.Errorf("run %s: %w", binary, err)
	}
	if err := p.command.Start(); err != nil {
		return nil, fmt.Errorf("run %s: %w", binary, err)
	}
	p.PID = p.command.Process.Pid
	go func() {
		p.log.read(stderr)
		p.err = p.command.Wait()
		close(p.ended)
	}()
	select {
	case address := <-p.log.address:
		p.URL = "http://" + address
		return p, nil
	case <-p.ended:
		return nil, fmt.Errorf("run %s: it ended before it served: %w\n%s", binary, errors.Join(p.err, ctx.Err()), p.Log())
	}
}

// Stop asks the function to finish and waits until it has. It returns an error
// unless the function ended well.
func (p *Process) Stop() error {
	if err := p.command.Process.Signal(syscall.SIGTERM); err == nil {
		late := time.AfterFunc(stopWithin, func() { p.command.Process.Kill() }) //nolint:errcheck // it has ended
		defer late.Stop()
	}
	<-p.ended
	if p.err != nil {
		return fmt.Errorf("stop %s: %w\n%s", p.command.Path, p.err, p.Log())
	}
	return nil
}

// Log is what the function has said so far.
func (p *Process) Log() string { return p.log.text() }

// log keeps what a function says and finds in it where it serves.
type log struct {
	address chan string

	mu   sync.Mutex
	said bytes.Buffer
}

func (l *log) read(r io.Reader) {
	for lines := bufio.NewReader(r); ; {
		line, err := lines.ReadBytes('\n')
		l.mu.Lock()
		l.said.Write(line)
		l.mu.Unlock()
		var serving struct{ Msg, Address string }
		if json.Unmarshal(line, &serving) == nil && serving.Msg == "serving" {
			select {
			case l.address <- serving.Address:
			default:
			}
		}
		if err != nil {
			return
		}
	}
}

func (l *log) text() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.said.String()
}

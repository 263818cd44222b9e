package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// command is one call of kubectl or ko.
type command struct {
	name  string
	args  []string
	env   []string // on top of our own
	stdin []byte

	// progress, if there is one, is told each line of stderr as it comes.
	progress func(line string)
}

// runner runs a command to its end and returns its stdout. An *exitError says
// that it ran and failed; what it had printed until then is returned with it.
type runner interface {
	run(ctx context.Context, c command) (stdout []byte, err error)
}

// exitError is a command that ended with another code than 0.
type exitError struct {
	name   string
	code   int
	stderr string
}

func (e *exitError) Error() string {
	return fmt.Sprintf("%s ended with code %d: %s", e.name, e.code, strings.Join(strings.Fields(e.stderr), " "))
}

// exitCode is the code in err, or -1 if err is not about one.
func exitCode(err error) int {
	var exit *exitError
	if errors.As(err, &exit) {
		return exit.code
	}
	return -1
}

// processes is the runner that starts processes.
type processes struct{}

func (processes) run(ctx context.Context, c command) ([]byte, error) {
	cmd := exec.CommandContext(ctx, c.name, c.args...)
	cmd.Env = append(os.Environ(), c.env...)
	cmd.Stdin = bytes.NewReader(c.stdin)
	// A kubectl that is asked to end leaves nothing half done; one that does not
	// hear is killed.
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 5 * time.Second
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	told := func() {}
	if c.progress != nil {
		cmd.Stderr, told = byLine(&stderr, c.progress)
	}
	err := cmd.Run()
	told()
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		return stdout.Bytes(), fmt.Errorf("%s was stopped: %w", c.name, context.Cause(ctx))
	case errors.As(err, &exit):
		return stdout.Bytes(), &exitError{name: c.name, code: exit.ExitCode(), stderr: stderr.String()}
	case err != nil:
		return stdout.Bytes(), fmt.Errorf("starting %s: %w", c.name, err)
	}
	return stdout.Bytes(), nil
}

// byLine returns a writer that writes to w and tells each line. What it has told
// is complete once the second value has been called.
func byLine(w io.Writer, tell func(string)) (io.Writer, func()) {
	r, pipe := io.Pipe()
	done := make(chan struct{})
	go func() {
		defer close(done)
		lines := bufio.NewReader(r)
		for {
			line, err := lines.ReadString('\n')
			if line = strings.TrimRight(line, "\r\n"); line != "" {
				tell(line)
			}
			if err != nil {
				return
			}
		}
	}()
	return io.MultiWriter(w, pipe), func() {
		pipe.Close() // a pipe writer's Close always succeeds
		<-done
	}
}

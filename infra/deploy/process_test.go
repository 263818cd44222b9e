package main

import (
	"context"
	"errors"
	"slices"
	"testing"
)

func TestProcesses(t *testing.T) {
	var lines []string
	out, err := processes{}.run(t.Context(), command{
		name:     "sh",
		args:     []string{"-c", `cat; echo "$PLACE"; echo one >&2; echo >&2; printf two >&2; exit 3`},
		env:      []string{"PLACE=here"},
		stdin:    []byte("in "),
		progress: func(line string) { lines = append(lines, line) },
	})
	if string(out) != "in here\n" {
		t.Errorf("stdout is %q", out)
	}
	var exit *exitError
	if !errors.As(err, &exit) || exit.code != 3 || exit.stderr != "one\n\ntwo" {
		t.Errorf("the error is %#v", err)
	}
	if want := []string{"one", "two"}; !slices.Equal(lines, want) {
		t.Errorf("told were %q, want %q", lines, want)
	}
}

func TestProcessesStop(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	reason := errors.New("enough")
	_, err := processes{}.run(ctx, command{
		name:     "sh",
		args:     []string{"-c", "echo started >&2; exec sleep 60"},
		progress: func(string) { cancel(reason) },
	})
	if !errors.Is(err, reason) || err.Error() != "sh was stopped: enough" {
		t.Errorf("the error is %v", err)
	}
}

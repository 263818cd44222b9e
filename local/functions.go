package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"syscall"
	"time"

	"tripcast.dev/functions/serve"
)

// function is predict or learn in this process, on a socket of its own.
type function struct {
	name     string
	listener net.Listener
}

// bind listens at once, so that whoever has to post here can be told where.
func bind(name, address string) (*function, error) {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, portError(name, address, err)
	}
	return &function{name: name, listener: l}, nil
}

// portError says which flag moves a part off a port that is in use.
func portError(part, address string, err error) error {
	if errors.Is(err, syscall.EADDRINUSE) {
		return fmt.Errorf("%s: %s is in use: give it another address with --%s-listen, or take --free-ports", part, address, part)
	}
	return fmt.Errorf("%s: listening on %s: %w", part, address, err)
}

func (f *function) url() string { return "http://" + f.listener.Addr().String() }

// serve runs the handler until ctx ends; env is what Knative would set.
func (f *function) serve(ctx context.Context, h serve.Handler, env map[string]string, ready func(context.Context) error, log *slog.Logger) error {
	o, err := serve.FromEnv(func(name string) string { return env[name] })
	if err != nil {
		return fmt.Errorf("%s: %w", f.name, err)
	}
	o.Name, o.Ready, o.Logger = f.name, ready, log
	// A terminal waits for this one: what is in flight takes milliseconds.
	o.ShutdownTimeout = 5 * time.Second
	server, err := serve.New(h, o)
	if err != nil {
		return fmt.Errorf("%s: %w", f.name, err)
	}
	if err := server.Serve(ctx, f.listener); err != nil {
		return fmt.Errorf("%s: %w", f.name, err)
	}
	return nil
}

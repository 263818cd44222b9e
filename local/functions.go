package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"time"

	"tripcast.dev/functions/serve"
)

// function is predict, learn or promote in this process, on a socket of its own.
type function struct {
	name     string
	listener net.Listener
}

func bindFunction(name, address string) (*function, error) {
	l, err := bind(name, address, moves(name))
	if err != nil {
		return nil, err
	}
	return &function{name: name, listener: l}, nil
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

package main

import (
	"context"
	"net"

	"tripcast.dev/functions/monitor"
	"tripcast.dev/functions/online/kinds"
)

// Where the dashboard listens unless told otherwise, what leaves it out, and who
// may act on it.
const (
	defaultMonitor = "127.0.0.1:8501"
	monitorOff     = "off"
	envToken       = "MONITOR_TOKEN"
)

// startMonitor serves the dashboard. It is told what it would be told anywhere
// else: where Materialize, or what stands in for it, Redis and Kafka are.
func (s *system) startMonitor(ctx context.Context) error {
	if s.listen.monitor == monitorOff {
		return nil
	}
	l, err := bind("monitor", s.listen.monitor, moves("monitor")+", or leave it out with --monitor-listen "+monitorOff)
	if err != nil {
		return err
	}
	o := monitor.Options{
		Database: s.materialize, Redis: s.client, Kinds: kinds.All(),
		Brokers: s.kafka.Brokers, KafkaOptions: s.kafka.Options(), Token: s.token, Log: s.log,
	}
	if o.Database == "" {
		o.Database = "postgres://materialize@" + s.sqlAt + "/materialize?sslmode=disable"
	}
	s.monitor = visitURL(l.Addr())
	s.background(ctx, "monitor", func(ctx context.Context) error { return monitor.Run(ctx, l, o) })
	return nil
}

// visitURL is where a browser on this machine finds what listens there, on every
// address or on one.
func visitURL(at net.Addr) string {
	host, port, err := net.SplitHostPort(at.String())
	if ip := net.ParseIP(host); err != nil || ip == nil || !ip.IsUnspecified() {
		return "http://" + at.String()
	}
	return "http://localhost:" + port
}

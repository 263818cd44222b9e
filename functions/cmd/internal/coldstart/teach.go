package main

import (
	"context"
	"fmt"
	"math"
	"net"
	"os/exec"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
	"golang.org/x/sync/errgroup"

	"tripcast.dev/functions/online"
	"tripcast.dev/functions/online/evaluate"
	"tripcast.dev/functions/online/kinds"
	"tripcast.dev/functions/registry"
	"tripcast.dev/functions/registry/labeltest"
	"tripcast.dev/infra"
)

// store is a Redis of this run alone.
type store struct {
	name, url string
	stop      func()
}

// startRedis starts the redis-server of this machine, which keeps nothing on
// disk, or an embedded one where there is none.
func startRedis(ctx context.Context, dir string) (*store, error) {
	path, err := exec.LookPath("redis-server")
	if err != nil {
		embedded, err := miniredis.Run()
		if err != nil {
			return nil, fmt.Errorf("start the embedded Redis: %w", err)
		}
		return &store{"an embedded Redis (no redis-server on the PATH)", "redis://" + embedded.Addr(), embedded.Close}, nil
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	_, port, _ := net.SplitHostPort(l.Addr().String())
	l.Close()
	server := exec.CommandContext(ctx, path, "--bind", "127.0.0.1", "--port", port, "--save", "", "--appendonly", "no", "--dir", dir)
	if err := server.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", path, err)
	}
	s := &store{"redis-server", "redis://127.0.0.1:" + port, func() {
		server.Process.Kill() //nolint:errcheck // it has ended
		server.Wait()         //nolint:errcheck // it was killed
	}}
	if err := awaitRedis(ctx, s.url); err != nil {
		s.stop()
		return nil, fmt.Errorf("start %s: %w", path, err)
	}
	return s, nil
}

func awaitRedis(ctx context.Context, url string) error {
	client, err := registry.Open(url)
	if err != nil {
		return err
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	for {
		err := registry.Ping(ctx, client)
		if err == nil || ctx.Err() != nil {
			return err
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// school is what the models learn from: label n, always the same one.
type school func(n int) registry.Label

// teach makes infra/models.yaml the models of this Redis and teaches each of
// them the labels.
func teach(ctx context.Context, client redis.UniversalClient, committer *registry.Committer, o options) (school, error) {
	catalogue, err := online.ParseCatalogue(infra.Models(), kinds.All())
	if err != nil {
		return nil, err
	}
	if err := registry.Apply(ctx, client, catalogue); err != nil {
		return nil, err
	}
	labels := school(drawn)
	if o.samples != "" {
		if labels, err = recorded(ctx, o.samples, o.labels); err != nil {
			return nil, err
		}
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(2 * inBatch) // the next batch waits while one is committed
	for n := range o.labels {
		group.Go(func() error {
			_, err := committer.Learn(ctx, labels(n))
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, fmt.Errorf("teach %d labels: %w", o.labels, err)
	}
	return labels, nil
}

// inBatch labels are in one commit, far more than learn's own at its best: what
// counts here is what the models have learned, not how.
const inBatch = 2048

// recorded are the first labels of a file of samples; those after them are
// taken from its start again, under other ids.
func recorded(ctx context.Context, file string, count int) (school, error) {
	samples, err := evaluate.Open(file)
	if err != nil {
		return nil, err
	}
	defer samples.Close()
	names := samples.Features()
	var labels []registry.Label
	for s, err := range samples.Samples(ctx) {
		if err != nil {
			return nil, err
		}
		if len(labels) == count {
			break
		}
		l := registry.Label{ID: s.ID, Features: make(map[string]float64, len(names)), Y: s.Y}
		for i, name := range names {
			if !math.IsNaN(s.X[i]) {
				l.Features[name] = s.X[i]
			}
		}
		labels = append(labels, l)
	}
	if len(labels) == 0 {
		return nil, fmt.Errorf("%s has no samples", file)
	}
	return func(n int) registry.Label {
		l := labels[n%len(labels)]
		l.ID = fmt.Sprintf("%s-%d", l.ID, n/len(labels))
		return l
	}, nil
}

// drawn is a label that was made up.
func drawn(n int) registry.Label { return labeltest.Trip(fmt.Sprintf("drawn-%d", n), n) }

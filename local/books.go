package main

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/redis/go-redis/v9"

	"tripcast.dev/functions/online/kinds"
	"tripcast.dev/functions/registry"
)

// books compare what the topics say with what Redis says has been learned, and
// so tell when a run is over.
type books struct {
	tally    *tally
	client   redis.UniversalClient
	baseline map[string]int64 // by model, labels learned before the run
	patience time.Duration    // how long nothing may move
	log      *slog.Logger
}

// learned asks Redis how many labels each model has learned in the run.
func (b books) learned(ctx context.Context) (map[string]int64, error) {
	counts, err := learned(ctx, b.client)
	for model := range counts {
		counts[model] -= b.baseline[model]
	}
	return counts, err
}

// learned asks Redis how many labels each model has learned ever.
func learned(ctx context.Context, client redis.UniversalClient) (map[string]int64, error) {
	infos, err := registry.List(ctx, client, kinds.All())
	if err != nil {
		return nil, err
	}
	counts := make(map[string]int64, len(infos))
	for _, i := range infos {
		counts[i.Name] = int64(i.Count)
	}
	return counts, nil
}

// settled says whether so many trips are accounted for, while others may be on
// their way; the error, that they never will be.
func (b books) settled(ctx context.Context, trips, others int64) (bool, error) {
	quiet := b.tally.quiet()
	if _, through := b.tally.progress(); through < trips && quiet <= b.patience {
		return false, nil // no need to look at every trip
	}
	learned, err := b.learned(ctx)
	if err != nil {
		b.log.Warn("asking Redis what was learned failed, trying again", "err", err)
		learned = nil
	}
	missing := b.tally.missing(trips, others, learned)
	if learned != nil && len(missing) == 0 {
		return true, nil
	}
	if quiet > b.patience {
		return false, fmt.Errorf("gave up after %s without news: %v", quiet.Round(time.Second), missing)
	}
	return false, nil
}

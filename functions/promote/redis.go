package promote

import (
	"context"

	"github.com/redis/go-redis/v9"

	"tripcast.dev/functions/online"
	"tripcast.dev/functions/registry"
)

// Redis is the Registry of a Redis. It may be used concurrently.
type Redis struct {
	client redis.UniversalClient
	kinds  online.Kinds
}

// NewRedis returns the registry of this Redis, with models of these kinds. It does
// not connect yet.
func NewRedis(client redis.UniversalClient, kinds online.Kinds) *Redis {
	return &Redis{client: client, kinds: kinds}
}

// Succeed is registry.Succeed.
func (r *Redis) Succeed(ctx context.Context, c registry.Candidates, judge func(registry.Reign) registry.Verdict) (registry.Succession, error) {
	return registry.Succeed(ctx, r.client, r.kinds, c, judge)
}

// Ready reports whether there are models to decide about.
func (r *Redis) Ready(ctx context.Context) error {
	_, err := registry.Catalogue(ctx, r.client, r.kinds)
	return err
}

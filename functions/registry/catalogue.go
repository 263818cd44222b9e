package registry

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"tripcast.dev/functions/online"
)

// readCatalogue returns the catalogue in Redis and its etag.
func readCatalogue(ctx context.Context, client redis.UniversalClient, kinds online.Kinds) (*online.Catalogue, string, error) {
	values, err := client.HMGet(ctx, catalogueKey, catalogueEtag, catalogueJSON).Result()
	if err != nil {
		return nil, "", readError(catalogueKey, err)
	}
	etag, _ := values[0].(string)
	encoded, ok := values[1].(string)
	if !ok {
		return nil, "", fmt.Errorf("%w: no catalogue has been applied", ErrNoModels)
	}
	c, err := online.ParseCatalogue([]byte(encoded), kinds)
	if err != nil {
		return nil, "", fmt.Errorf("registry: the catalogue in Redis: %w", err)
	}
	return c, etag, nil
}

// pipelined sends commands in one round trip. That a key is not there, or of
// another type, is left to the command.
func pipelined(ctx context.Context, client redis.UniversalClient, fn func(redis.Pipeliner)) error {
	_, err := client.Pipelined(ctx, func(pipe redis.Pipeliner) error {
		fn(pipe)
		return nil
	})
	if errors.Is(err, redis.Nil) || isWrongType(err) {
		return nil
	}
	return err
}

// Info is one model as Redis knows it.
type Info struct {
	Name       string    `json:"name"`
	Champion   bool      `json:"champion"`
	Version    uint64    `json:"version"`
	Count      uint64    `json:"count"` // labels learned
	Spec       string    `json:"spec"`  // hash of the specification in the catalogue
	StateBytes int       `json:"state_bytes"`
	Committed  time.Time `json:"committed_at,omitzero"`
	Warming    bool      `json:"warming,omitempty"` // taught by a WarmUp, or to be, and not by live labels
	Broken     string    `json:"broken,omitempty"`  // why it is neither served nor taught
}

// Catalogue returns the catalogue that is followed, or an ErrNoModels before one
// has been applied. Its champion is the one it was applied with.
func Catalogue(ctx context.Context, client redis.UniversalClient, kinds online.Kinds) (*online.Catalogue, error) {
	c, _, err := readCatalogue(ctx, client, kinds)
	return c, err
}

// List describes the models of the catalogue, in its order.
func List(ctx context.Context, client redis.UniversalClient, kinds online.Kinds) ([]Info, error) {
	return describe(ctx, client, kinds, true)
}

// Heads describes the models as List does, without reading what they have
// learned: a state that cannot be decoded is not Broken here.
func Heads(ctx context.Context, client redis.UniversalClient, kinds online.Kinds) ([]Info, error) {
	return describe(ctx, client, kinds, false)
}

func describe(ctx context.Context, client redis.UniversalClient, kinds online.Kinds, withState bool) ([]Info, error) {
	c, _, err := readCatalogue(ctx, client, kinds)
	if err != nil {
		return nil, err
	}
	heads, sizes := make([]*redis.SliceCmd, len(c.Models)), make([]*redis.IntCmd, len(c.Models))
	var champion *redis.StringCmd
	if err := pipelined(ctx, client, func(pipe redis.Pipeliner) {
		champion = pipe.Get(ctx, championKey)
		for i, spec := range c.Models {
			heads[i] = readHead(ctx, pipe, spec.Name, withState)
			sizes[i] = pipe.HStrLen(ctx, headKey(spec.Name), fieldState)
		}
	}); err != nil {
		return nil, unavailable("list models", err)
	}
	served := leader(c, champion.Val())
	infos := make([]Info, len(c.Models))
	for i, spec := range c.Models {
		infos[i] = Info{Name: spec.Name, Spec: spec.Hash(), Champion: spec.Name == served}
		h, err := headOf(spec.Name, heads[i])
		if err == nil {
			infos[i].Version, infos[i].Count = h.version, h.count
			infos[i].StateBytes, infos[i].Committed = int(sizes[i].Val()), h.committed
			infos[i].Warming = h.warming != nil
			err = fits(spec, h)
		}
		switch {
		case err != nil:
		case withState:
			_, err = load(spec, h)
		case h.version > 0 && infos[i].StateBytes == 0:
			err = &StateError{Model: spec.Name, Reason: "its head in Redis has no state"}
		}
		if err != nil {
			infos[i].Broken = err.Error()
		}
	}
	return infos, nil
}

// headOf parses the reply to readHead.
func headOf(model string, cmd *redis.SliceCmd) (head, error) {
	if err := cmd.Err(); err != nil {
		return head{}, keyError(model, err)
	}
	return parseHead(model, cmd.Val())
}

// keyError is what an error on a model's key means. Only a key of another type
// is the model's fault: every other error, of the network or of a Redis that is
// loading, full or without a master, may go away.
func keyError(model string, err error) error {
	if isWrongType(err) {
		return &StateError{Model: model, Reason: "a key of it in Redis: " + err.Error()}
	}
	return unavailable("read model "+model, err)
}

func isWrongType(err error) bool { return redis.HasErrorPrefix(err, "WRONGTYPE") }

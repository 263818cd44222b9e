package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"tripcast.dev/functions/online/kinds"
	"tripcast.dev/functions/registry"
)

func rollback(ctx context.Context, c console, args []string) error {
	flags := newFlags("rollback")
	by := actorFlags(flags)
	expect := flags.Uint64("expect", 0, "")
	again := flags.Bool("rebuild", false, "")
	labels := flags.String("labels", "", "")
	asJSON := flags.Bool("json", false, "")
	words, err := parseMixed(flags, args, "a model", "a version")
	if err != nil {
		return err
	}
	version, err := strconv.ParseUint(words[1], 10, 64)
	switch {
	case err != nil || version == 0:
		return usageError{fmt.Errorf("%q is not a version: history lists those there are", words[1])}
	case *labels != "" && !*again:
		return usageError{errors.New("--labels is what --rebuild rebuilds from: a snapshot needs none")}
	}
	var action registry.Action
	how := ""
	if *again {
		action, how, err = rollbackRebuilt(ctx, c, rebuilding{model: words[0], to: registry.Destination{Version: version}, file: *labels}, *expect, by.actor())
	} else {
		action, err = registry.Rollback(ctx, c.client, kinds.All(), words[0], version, *expect, by.actor())
	}
	switch {
	case errors.Is(err, registry.ErrNotFound) && !*again:
		return fmt.Errorf("%w: with --rebuild it can be any version that history shows", err)
	case err != nil:
		return waysToLive(err, words[0])
	case *asJSON:
		return writeJSON(c.stdout, action)
	}
	_, err = fmt.Fprintf(c.stdout, "%s%s goes on from version %s, in place of %s\n", how, action.Model, action.To, action.From)
	return err
}

// rollbackRebuilt goes back to a version that it makes again, and says how it has.
func rollbackRebuilt(ctx context.Context, c console, r rebuilding, expect uint64, by registry.Actor) (registry.Action, string, error) {
	rebuilt, source, err := r.make(ctx, c)
	if err != nil {
		return registry.Action{}, "", err
	}
	action, err := registry.RollbackRebuilt(ctx, c.client, kinds.All(), rebuilt, expect, by)
	return action, r.text(rebuilt, source), err
}

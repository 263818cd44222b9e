package registry

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/redis/go-redis/v9"

	"tripcast.dev/functions/online"
)

// ApplyOptions say what becomes of the models of a catalogue that is applied. The
// zero value changes none.
type ApplyOptions struct {
	// WarmUp has models that have learned nothing, but for the champion, wait for a
	// WarmUp, from before any learner knows of them: live labels do not teach them.
	WarmUp bool
	// Restart names models that begin anew, whatever they have learned and under
	// which specification, and wait for a WarmUp. What they were is kept as a snapshot.
	Restart []string
	// By is who restarts: it goes into the audit trail.
	By Actor
}

// Applied is what an ApplyWith has done.
type Applied struct {
	Restarted []Action // in the order of the catalogue
	Warming   []string // models that wait for a WarmUp by now, in the order of the catalogue
}

// Apply makes a catalogue the one that every reader and learner follows, and
// its champion the one that is served, unless the last one named the same: then
// whoever has been promoted since stays. One that is named in place of another is as
// one that was promoted by hand. It writes nothing and returns
// *StateErrors, joined, if a model with that name has learned under another
// specification: ApplyWith can restart it. Models that are no longer in the
// catalogue are not served or taught, but keep what they learned.
func Apply(ctx context.Context, client redis.UniversalClient, c *online.Catalogue) error {
	_, err := ApplyWith(ctx, client, c, ApplyOptions{})
	return err
}

// ApplyWith is Apply with models that are to be warmed up, which Abandon does
// without. A model to restart that is not in the catalogue is an ErrNotFound, the
// champion an ErrConflict, a champion that is being warmed up an ErrWarming, and
// then nothing is written. One that was cut short is done again as a whole.
func ApplyWith(ctx context.Context, client redis.UniversalClient, c *online.Catalogue, opts ApplyOptions) (Applied, error) {
	a := application{client: client, catalogue: c, opts: opts}
	if err := a.look(ctx); err != nil {
		return Applied{}, err
	}
	restarts, err := a.plan()
	if err != nil {
		return Applied{}, err
	}
	names := make([]any, len(c.Models))
	for i, spec := range c.Models {
		names[i] = spec.Name
	}
	// The names first: whoever is in the catalogue is in the audit trail.
	if err := client.SAdd(ctx, modelsKey, names...).Err(); err != nil {
		return Applied{}, unavailable("apply catalogue", err)
	}
	// Then the heads, so that no learner finds a model that it would teach.
	var done Applied
	for i, r := range restarts {
		if r == nil {
			if a.heads[i].warming {
				done.Warming = append(done.Warming, c.Models[i].Name)
			}
			continue
		}
		action, err := r.do(ctx, c)
		if !action.At.IsZero() {
			done.Restarted, done.Warming = append(done.Restarted, action), append(done.Warming, r.spec.Name)
		}
		if err != nil {
			return done, err
		}
	}
	return done, a.write(ctx)
}

// application is a catalogue that is to be applied.
type application struct {
	client    redis.UniversalClient
	catalogue *online.Catalogue
	opts      ApplyOptions

	named    string // the champion that the last catalogue named
	champion string // that is one now
	heads    []glance
}

// glance is what a head says at first sight.
type glance struct {
	err     error // it is none
	spec    string
	nothing bool // has been learned
	warming bool
}

func (a *application) look(ctx context.Context) error {
	fields := make([]*redis.SliceCmd, len(a.catalogue.Models))
	var named, champion *redis.StringCmd
	if err := pipelined(ctx, a.client, func(pipe redis.Pipeliner) {
		named, champion = pipe.HGet(ctx, catalogueKey, catalogueChampion), pipe.Get(ctx, championKey)
		for i, spec := range a.catalogue.Models {
			fields[i] = pipe.HMGet(ctx, headKey(spec.Name), fieldSpec, fieldCount, fieldWarming)
		}
	}); err != nil {
		return unavailable("apply catalogue", err)
	}
	a.named, a.champion = named.Val(), champion.Val()
	a.heads = make([]glance, len(fields))
	for i, cmd := range fields {
		if err := cmd.Err(); err != nil {
			a.heads[i].err = keyError(a.catalogue.Models[i].Name, err)
			continue
		}
		var text [3]string
		for j, v := range cmd.Val() {
			text[j], _ = v.(string)
		}
		a.heads[i] = glance{spec: text[0], nothing: text[0] == "" || text[1] == "0", warming: text[2] != ""}
	}
	return nil
}

// next is who is the champion once the catalogue is applied.
func (a *application) next() string {
	if a.named == a.catalogue.Champion {
		return leader(a.catalogue, a.champion)
	}
	return a.catalogue.Champion
}

// plan returns for each model of the catalogue the restart that it needs, if it
// needs one, or why the catalogue cannot be applied.
func (a *application) plan() ([]*restart, error) {
	var errs []error
	if len(a.opts.Restart) > 0 || a.opts.WarmUp {
		errs = append(errs, a.opts.By.check())
	}
	for _, name := range a.opts.Restart {
		if _, err := find(a.catalogue, name); err != nil {
			errs = append(errs, err)
		}
		if name == a.champion || name == a.next() {
			errs = append(errs, fmt.Errorf("%w: model %s is the champion, which is not restarted: promote another one first", ErrConflict, name))
		}
	}
	restarts := make([]*restart, len(a.catalogue.Models))
	for i, spec := range a.catalogue.Models {
		h := a.heads[i]
		switch {
		case slices.Contains(a.opts.Restart, spec.Name):
			restarts[i] = &restart{client: a.client, spec: spec, by: a.opts.By, forget: true}
		case h.err != nil:
			errs = append(errs, h.err)
		case h.spec != "" && h.spec != spec.Hash():
			errs = append(errs, &StateError{Model: spec.Name, Reason: fmt.Sprintf(
				"it has learned under specification %.12s and cannot become %.12s: %s", h.spec, spec.Hash(), waysToChange(spec.Name),
			)})
		case h.warming && spec.Name == a.next():
			errs = append(errs, fmt.Errorf("%w: model %s cannot be the champion before it is live", ErrWarming, spec.Name))
		case a.opts.WarmUp && h.nothing && !h.warming && spec.Name != a.champion && spec.Name != a.next():
			restarts[i] = &restart{client: a.client, spec: spec, by: a.opts.By}
		}
	}
	return restarts, errors.Join(errs...)
}

// write makes the catalogue the one that is followed.
func (a *application) write(ctx context.Context) error {
	encoded, err := json.Marshal(a.catalogue)
	if err != nil {
		return fmt.Errorf("registry: encode catalogue: %w", err)
	}
	sum := sha256.Sum256(encoded)
	if err := a.client.HSet(ctx, catalogueKey, catalogueEtag, hex.EncodeToString(sum[:]), catalogueJSON, encoded).Err(); err != nil {
		return unavailable("apply catalogue", err)
	}
	if a.next() == a.champion && a.named == a.catalogue.Champion {
		return nil
	}
	// The two need not change together: a champion that is not in the catalogue
	// counts as none.
	next := a.catalogue.Champion
	if _, err := replaceChampion(ctx, a.client, replacement{
		Action: Action{Kind: KindApply, Model: next, To: next, By: "catalogue"},
		// Of the catalogue before, which may have been without it, too.
		served: func(named string) string { return named },
	}); err != nil {
		return err
	}
	// Last: an Apply that was cut short is done again as a whole.
	if err := a.client.HSet(ctx, catalogueKey, catalogueChampion, next).Err(); err != nil {
		return unavailable("apply catalogue", err)
	}
	return nil
}

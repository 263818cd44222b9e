package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/redis/go-redis/v9"
	"github.com/twmb/franz-go/pkg/kgo"

	"tripcast.dev/events"
	"tripcast.dev/functions/cmd/internal/settings"
	"tripcast.dev/functions/kafka"
	"tripcast.dev/functions/online/kinds"
	"tripcast.dev/functions/registry"
)

// warmingUp is a command line of warm-up.
type warmingUp struct {
	model       string
	fromNothing bool
	abandon     bool
	asJSON      bool
	commits     registry.CommitterOptions
	by          registry.Actor
}

func parseWarmUp(args []string, getenv func(string) string) (warmingUp, error) {
	w := warmingUp{}
	flags := newFlags("warm-up")
	by := actorFlags(flags)
	flags.BoolVar(&w.fromNothing, "from-nothing", false, "")
	flags.BoolVar(&w.abandon, "abandon", false, "")
	flags.BoolVar(&w.asJSON, "json", false, "")
	flags.IntVar(&w.commits.MaxBatch, "batch", 256, "")
	words, err := parseMixed(flags, args, "a model")
	if err != nil {
		return warmingUp{}, err
	}
	w.model, w.by = words[0], by.actor()
	switch {
	case w.commits.MaxBatch < 1:
		return warmingUp{}, usageError{fmt.Errorf("--batch %d: a commit has one label at least", w.commits.MaxBatch)}
	case w.abandon && w.fromNothing:
		return warmingUp{}, usageError{errors.New("--abandon and --from-nothing: a warm-up is given up or begun")}
	}
	if err := settings.Environment(getenv).Commits(&w.commits); err != nil {
		return warmingUp{}, usageError{err}
	}
	return w, nil
}

// warmUp is the command of that name.
func warmUp(ctx context.Context, c console, args []string) error {
	w, err := parseWarmUp(args, c.getenv)
	if err != nil {
		return err
	}
	if w.abandon {
		return w.giveUp(ctx, c.client, c.stdout)
	}
	k, err := kafka.FromEnv(c.getenv)
	if err != nil {
		return usageError{err}
	}
	if err := k.Check(ctx, events.TopicLabels); err != nil {
		return err
	}
	progress := progressOn(c.stderr)
	log := &labelLog{merged: k.Merged(events.TopicLabels), skipped: skips{progress: progress, stderr: c.stderr}}
	defer log.merged.Close()
	done, err := registry.WarmUp(ctx, c.client, kinds.All(), w.model, log, registry.WarmUpOptions{
		Commits: w.commits, FromNothing: w.fromNothing, By: w.by,
		Skipped: log.skipped.tell,
		Progress: func(d registry.WarmedUp) {
			progress.now("%s has learned %d labels, %d records are left", d.Model, d.Count, d.Left)
		},
	})
	progress.clear()
	if err != nil {
		return w.unfinished(ctx, done, err)
	}
	return w.report(c.stdout, warmedUp{done, log.skipped.undecoded, "Kafka at " + k.String()})
}

func (w warmingUp) giveUp(ctx context.Context, client redis.UniversalClient, stdout io.Writer) error {
	action, err := registry.Abandon(ctx, client, kinds.All(), w.model, w.by)
	switch {
	case err != nil && ctx.Err() != nil:
		return cutShort{err, doneOrNot}
	case err != nil:
		return err
	case w.asJSON:
		return writeJSON(stdout, action)
	}
	_, err = fmt.Fprintf(stdout, "%s goes on with live labels from version %s\n", action.Model, action.To)
	return err
}

// unfinished says how to go on.
func (w warmingUp) unfinished(ctx context.Context, done registry.WarmedUp, err error) error {
	goesOn := fmt.Sprintf("%s has learned %d labels, %d of them now: the same command goes on from there, without --from-nothing", w.model, done.Count, done.Taught)
	var state *registry.StateError
	switch {
	case ctx.Err() != nil && done.Version != 0:
		return cutShort{err, goesOn}
	case errors.As(err, &state) && !w.fromNothing:
		return fmt.Errorf("%w: --from-nothing is a way out", err)
	case errors.Is(err, kafka.ErrOtherTopic):
		return fmt.Errorf("%w\n%s has learned %d labels of that one: models warm-up %s --from-nothing begins with this one, --abandon lets it go on with live labels as it is", err, w.model, done.Count, w.model)
	case errors.Is(err, registry.ErrConflict) || done.Version == 0:
		return err
	}
	return fmt.Errorf("%w\n%s", err, goesOn)
}

// warmedUp is what was done, as JSON.
type warmedUp struct {
	registry.WarmedUp
	Undecoded int    `json:"undecoded"` // records that are no labels
	Labels    string `json:"labels"`    // where they came from
}

func (w warmingUp) report(stdout io.Writer, d warmedUp) error {
	if w.asJSON {
		return writeJSON(stdout, d)
	}
	_, err := fmt.Fprintf(stdout, "%s is live: version %d, %d labels learned, %d of them now, of %s\n", d.Model, d.Version, d.Count, d.Taught, d.Labels)
	if d.Undecoded+d.Panicked > 0 && err == nil {
		_, err = fmt.Fprintf(stdout, "left out: %d that are no labels, %d on which the model panics\n", d.Undecoded, d.Panicked)
	}
	return err
}

// skips tells of records that are left out, as far as there are not too many.
type skips struct {
	progress  *progress
	stderr    io.Writer
	told      int
	undecoded int
}

// mostSkips is how many are told of one by one.
const mostSkips = 20

func (s *skips) tell(err error) {
	if s.told++; s.told > mostSkips {
		return
	}
	s.progress.clear()
	fmt.Fprintln(s.stderr, "models: left out:", err)
	if s.told == mostSkips {
		fmt.Fprintln(s.stderr, "models: others are counted only")
	}
}

// labelLog is the topic of labels as a registry.Log.
type labelLog struct {
	merged  *kafka.Merged
	skipped skips
}

func (l *labelLog) End(ctx context.Context) (registry.Position, error) {
	end, err := l.merged.End(ctx)
	return end, err
}

func (l *labelLog) Next(ctx context.Context, from, end registry.Position, most int) ([]registry.Label, registry.Position, error) {
	records, next, err := l.merged.Next(ctx, from, end, most)
	if err != nil {
		return nil, nil, err
	}
	labels := make([]registry.Label, 0, len(records))
	for _, r := range records {
		if label := l.label(r); label != nil {
			labels = append(labels, *label)
		}
	}
	return labels, next, nil
}

// label returns nil for a record that teaches nothing.
func (l *labelLog) label(r *kgo.Record) *registry.Label {
	label, err := labelOf(record(r))
	if err != nil {
		l.skipped.undecoded++
		l.skipped.tell(fmt.Errorf("partition %d, offset %d: %w", r.Partition, r.Offset, err))
	}
	return label
}

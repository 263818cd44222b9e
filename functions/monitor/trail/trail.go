// Package trail shows what became of one trip, and what went wrong: it reads the
// CloudEvents from the topics themselves, as they lie there. Nobody keeps an
// index of them, so a look at one trip reads every partition of a stretch of
// time, and gives up at a budget of bytes and of time, which it says.
package trail

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kversion"

	"tripcast.dev/events"
)

// Bounds of one look.
const (
	maxBytes  = 32 << 20
	maxTime   = 2 * time.Second
	maxEvents = 1000
)

// maxLooks is how many may read at a time.
const maxLooks = 4

// clockSkew is by how much the clocks of those who write a topic may differ: a
// record of some time may lie behind one that claims to be later.
const clockSkew = 5 * time.Second

// Config says where the topics are.
type Config struct {
	// Brokers to start from, as host:port.
	Brokers []string

	// Options go to the Kafka client after the trail's own: TLS, SASL.
	Options []kgo.Opt

	// Log is told when Kafka goes away and when it is back; default none.
	Log *slog.Logger
}

// Trail reads events. It is safe for concurrent use: looks at the same are one,
// and of the others a few go on at a time while the rest wait.
type Trail struct {
	client *kgo.Client
	outage outage
	bounds bounds
	unpack kgo.Decompressor

	trips   flights[look, Found]
	letters flights[int, letters]
}

// bounds are those of one look.
type bounds struct {
	bytes  int64
	time   time.Duration
	events int
}

// Stretch is where to look.
type Stretch struct {
	// From and To bound the records' timestamps. The zero time is open: since
	// ever, until now.
	From, To time.Time
	Topics   []string // none: all of the flow
}

// look is what is looked for, to the second.
type look struct {
	trip     string
	topics   string // separated by spaces
	from, to int64
}

// New makes a Trail. It does not connect yet.
func New(cfg Config) (*Trail, error) {
	if len(cfg.Brokers) == 0 {
		return nil, errors.New("trail: no Kafka brokers given")
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	client, err := kgo.NewClient(clientOptions(cfg)...)
	if err != nil {
		return nil, fmt.Errorf("trail: configure the Kafka client: %w", err)
	}
	slots := make(chan struct{}, maxLooks)
	return &Trail{
		client:  client,
		outage:  outage{log: cfg.Log},
		unpack:  kgo.DefaultDecompressor(),
		bounds:  bounds{bytes: maxBytes, time: maxTime, events: maxEvents},
		trips:   flights[look, Found]{slots: slots},
		letters: flights[int, letters]{slots: slots},
	}, nil
}

// clientOptions is all that the Kafka client is told.
func clientOptions(cfg Config) []kgo.Opt {
	versions := kversion.Stable()
	versions.SetMaxKeyVersion(fetchKey, fetchVersion)
	opts := []kgo.Opt{
		kgo.SeedBrokers(cfg.Brokers...),
		kgo.ClientID("tripcast-monitor"),
		kgo.MaxVersions(versions),
		// Somebody waits for the page: three tries are over in less than a second.
		kgo.RequestRetries(3),
		kgo.RetryBackoffFn(func(int) time.Duration { return retryAfter }),
		kgo.DialTimeout(maxTime),
		kgo.RequestTimeoutOverhead(maxTime),
	}
	return append(opts, cfg.Options...)
}

// Close ends the looks under way and the connections.
func (t *Trail) Close() {
	t.trips.close()
	t.letters.close()
	t.client.Close()
}

// Found is what a look has found.
type Found struct {
	Events   []Event // in the order of their times, then of the flow
	Complete bool    // false: it gave up before it had read everything
}

// Of looks for the events of a trip in some stretches, which are read at the same
// time and have a budget each, or in all there is. What some stretches gave is
// returned, as incomplete, if others failed. Events are shared with others who
// look for the same: they are not to be changed.
func (t *Trail) Of(ctx context.Context, trip string, stretches ...Stretch) (Found, error) {
	if trip == "" {
		return Found{}, errors.New("trail: no trip given")
	}
	if len(stretches) == 0 {
		stretches = []Stretch{{}}
	}
	looked := make([]Found, len(stretches))
	errs := make([]error, len(stretches))
	var group sync.WaitGroup
	for i, stretch := range stretches {
		group.Go(func() { looked[i], errs[i] = t.in(ctx, trip, stretch) })
	}
	group.Wait()
	found := Found{Complete: true}
	for _, one := range looked {
		found.Events = append(found.Events, one.Events...)
		found.Complete = found.Complete && one.Complete
	}
	if i := slices.IndexFunc(errs, func(err error) bool { return err != nil }); i >= 0 && len(found.Events) == 0 {
		return Found{}, errs[i]
	}
	sortByTime(found.Events)
	// Stretches may overlap.
	found.Events = slices.CompactFunc(found.Events, func(a, b Event) bool {
		return a.Topic == b.Topic && a.Partition == b.Partition && a.Offset == b.Offset
	})
	markDuplicates(found.Events)
	return found, nil
}

// in looks in one stretch.
func (t *Trail) in(ctx context.Context, trip string, s Stretch) (Found, error) {
	wide := look{trip: trip, topics: strings.Join(s.Topics, " ")}
	from := s.From
	if !from.IsZero() {
		from = from.Truncate(time.Millisecond) // as records have it
		wide.from = from.Unix()
	}
	// Who asks for what is until now asks for all there is.
	if !s.To.IsZero() && s.To.Before(time.Now()) {
		wide.to = s.To.Unix() + 1
	}
	found, err := t.trips.share(ctx, wide, t.scan)
	if err != nil {
		return Found{}, err
	}
	found.Events = slices.DeleteFunc(slices.Clone(found.Events), func(e Event) bool {
		return e.Timestamp.Before(from) || !s.To.IsZero() && e.Timestamp.After(s.To)
	})
	return found, nil
}

// scan reads topics for the events of a trip.
func (t *Trail) scan(ctx context.Context, l look) (Found, error) {
	ctx, cancel := context.WithTimeout(ctx, t.bounds.time)
	defer cancel()
	var from, to time.Time
	if l.from != 0 {
		from = time.Unix(l.from, 0)
	}
	if l.to != 0 {
		to = time.Unix(l.to, 0).Add(clockSkew)
	}
	topics := strings.Fields(l.topics)
	if len(topics) == 0 {
		topics = events.Topics()
	}
	spans, all, err := t.spans(ctx, from, to, topics...)
	if err != nil {
		return Found{}, t.unavailable(err)
	}
	found := Found{Complete: all}
	left := t.bounds.bytes
	all, err = t.read(ctx, spans, &left, func(r *kgo.Record) bool {
		if concerns(r, l.trip) {
			found.Events = append(found.Events, eventOf(r))
		}
		return len(found.Events) < t.bounds.events
	})
	if err != nil && len(found.Events) == 0 {
		return Found{}, t.unavailable(err)
	}
	found.Complete = found.Complete && all
	if err == nil {
		t.outage.over()
	}
	return found, nil
}

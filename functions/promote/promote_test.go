package promote_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/redis/go-redis/v9"

	"tripcast.dev/events"
	"tripcast.dev/functions/online"
	"tripcast.dev/functions/online/kinds"
	"tripcast.dev/functions/promote"
	"tripcast.dev/functions/registry"
)

func clock(hour int) time.Time { return time.Date(2016, 1, 4, hour, 0, 0, 0, time.UTC) }

func proposal(t testing.TB, model string, hour int, errors map[string]float64) event.Event {
	t.Helper()
	e, err := events.Encode(&events.Proposal{Model: model, At: clock(hour), Trips: 400, ErrorsS: errors})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// met has every candidate judged in one reign.
func met(r registry.Reign) promote.RegistryFunc {
	return func(_ context.Context, c registry.Candidate, judge func(registry.Reign) registry.Verdict) (registry.Succession, error) {
		s := registry.Succession{Verdict: judge(r), Champion: r.Champion}
		if s.Promote {
			s.Champion = c.Model
		}
		return s, nil
	}
}

func decided(t testing.TB, h *promote.Handler, e event.Event) events.Decision {
	t.Helper()
	out, err := h.Handle(t.Context(), e)
	if err != nil {
		t.Fatal(err)
	}
	d, err := events.DecodeDecision(*out)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestJudge(t *testing.T) {
	both := map[string]float64{"old": 106, "new": 100}
	old := registry.Reign{Champion: "old", Promotion: online.PromotionAutomatic, Since: clock(8), Count: 5000}
	with := func(change func(*registry.Reign)) registry.Reign {
		r := old
		change(&r)
		return r
	}
	for _, c := range []struct {
		name   string
		reign  registry.Reign
		errors map[string]float64
		want   string // of the reason; + is promoted
	}{
		{"less error", old, both, "+in the hour before 2016-01-04T12:00:00Z it erred by 100.0 s over 400 trips and old by 106.0 s"},
		{"at the margin", old, map[string]float64{"old": 105, "new": 100}, "it errs by 100.0 s and old by 105.0 s, which is not 5 % more"},
		{"champion not judged", old, map[string]float64{"new": 100}, "+in the hour before 2016-01-04T12:00:00Z it erred by 100.0 s, and old was not judged"},
		{"champion", with(func(r *registry.Reign) { r.Champion = "new" }), both, "it is the champion"},
		{"manual", with(func(r *registry.Reign) { r.Promotion = online.PromotionManual }), both, "promotion: manual"},
		{"unknown", with(func(r *registry.Reign) { r.Unfit = registry.ErrNotFound }), both, `no model "new"`},
		{"broken", with(func(r *registry.Reign) { r.Unfit = &registry.StateError{Model: "new", Reason: "two\nlines"} }), both, `it cannot be served: "two\nlines"`},
		{"green", with(func(r *registry.Reign) { r.Count = 999 }), both, "it has learned 999 labels, fewer than 1000"},
		{"held", with(func(r *registry.Reign) { r.Since = clock(11) }), both, "a champion stays for 2h0m0s: old does until 2016-01-04T13:00:00Z"},
		{"held no longer", with(func(r *registry.Reign) { r.Since = clock(10) }), both, "+"},
		{"by hand", with(func(r *registry.Reign) { r.ByHand = true }), both, "somebody has promoted stays for 24h0m0s: old does until 2016-01-05T08:00:00Z"},
		{"by hand, a day ago", with(func(r *registry.Reign) { r.ByHand, r.Since = true, clock(12).AddDate(0, 0, -1) }), both, "+"},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, kind := range []string{events.TypeProposal, events.TypeKafka} {
				e := proposal(t, "new", 12, c.errors)
				e.SetType(kind)
				d := decided(t, promote.New(met(c.reign), promote.Options{Logger: slog.New(slog.DiscardHandler)}), e)
				want, promoted := strings.CutPrefix(c.want, "+")
				if d.Promoted != promoted || !strings.Contains(d.Reason, want) || d.Model != "new" || !d.At.Equal(clock(12)) {
					t.Errorf("decided %+v, want %q", d, c.want)
				}
			}
		})
	}
}

func TestInput(t *testing.T) {
	h := promote.New(promote.RegistryFunc(func(context.Context, registry.Candidate, func(registry.Reign) registry.Verdict) (registry.Succession, error) {
		return registry.Succession{}, errors.New("the registry was asked")
	}), promote.Options{})
	for _, c := range []struct {
		name  string
		event func(*event.Event)
		field string // of the error, none where the event is acknowledged
	}{
		{"retraction", func(e *event.Event) { e.DataEncoded = nil }, ""},
		{"a label", func(e *event.Event) { e.SetType(events.TypeLabel) }, "type"},
		{"not JSON", func(e *event.Event) { e.DataEncoded = []byte("{") }, "data"},
		{"no time", func(e *event.Event) {
			e.DataEncoded = []byte(`{"model":"new","trips":1,"errors_s":{"new":1}}`)
		}, "judged_at"},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := proposal(t, "new", 12, map[string]float64{"new": 1})
			c.event(&e)
			out, err := h.Handle(t.Context(), e)
			var invalid *events.InvalidError
			switch {
			case out != nil:
				t.Errorf("event %v, want none", out)
			case c.field == "" && err != nil:
				t.Errorf("error %v, want none", err)
			case c.field != "" && (!errors.As(err, &invalid) || invalid.Field != c.field):
				t.Errorf("error %v, want one on %s", err, c.field)
			}
		})
	}
}

// What could not be decided is not acknowledged, and not called invalid either.
func TestNotDecided(t *testing.T) {
	for _, cause := range []error{registry.ErrBusy, registry.ErrUnavailable, registry.ErrNoModels} {
		h := promote.New(promote.RegistryFunc(func(context.Context, registry.Candidate, func(registry.Reign) registry.Verdict) (registry.Succession, error) {
			return registry.Succession{}, cause
		}), promote.Options{})
		out, err := h.Handle(t.Context(), proposal(t, "new", 12, map[string]float64{"new": 1}))
		var invalid *events.InvalidError
		if out != nil || !errors.Is(err, cause) || errors.As(err, &invalid) {
			t.Errorf("event %v, error %v, want %v", out, err, cause)
		}
	}
}

// A day of proposals on a Redis: some twice, some late, a person in between.
func TestDay(t *testing.T) {
	client := redis.NewClient(&redis.Options{Addr: miniredis.RunT(t).Addr()})
	defer client.Close()
	c, err := online.ParseCatalogue([]byte(`
champion: a
promotion: automatic
models:
  - {name: a, features: [x], model: LinearRegression}
  - {name: b, features: [x], model: LinearRegression}
  - {name: c, features: [x], model: LinearRegression}
`), kinds.All())
	if err != nil {
		t.Fatal(err)
	}
	if err := registry.Apply(t.Context(), client, c); err != nil {
		t.Fatal(err)
	}
	committer := registry.NewCommitter(client, kinds.All(), registry.CommitterOptions{})
	if r := committer.LearnAll(t.Context(), []registry.Label{{ID: "1", Features: map[string]float64{"x": 1}, Y: 1}}); r[0].Err != nil {
		t.Fatal(r[0].Err)
	}
	if err := committer.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	succeed := func(ctx context.Context, c registry.Candidate, judge func(registry.Reign) registry.Verdict) (registry.Succession, error) {
		return registry.Succeed(ctx, client, kinds.All(), c, judge)
	}
	h := promote.New(promote.RegistryFunc(succeed), promote.Options{MinLabels: 1, HandHold: 4 * time.Hour, Logger: slog.New(slog.DiscardHandler)})
	champion := func() string {
		infos, err := registry.Heads(t.Context(), client, kinds.All())
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range infos {
			if i.Champion {
				return i.Name
			}
		}
		return ""
	}
	for _, step := range []struct {
		model string
		hour  int // -1 is by hand
		want  string
	}{
		{"b", 9, "a"},  // met for the first time
		{"b", 10, "a"}, // held
		{"b", 11, "b"}, // two hours on
		{"b", 11, "b"}, // again
		{"a", 10, "b"}, // late
		{"c", 12, "b"}, // held
		{"c", 13, "c"}, // better for long enough
		{"a", -1, "a"},
		{"c", 16, "a"}, // and met
		{"c", 19, "a"},
		{"c", 20, "c"},
		{"unknown", 23, "c"},
	} {
		if step.hour < 0 {
			if _, err := registry.Promote(t.Context(), client, kinds.All(), step.model, "", registry.Actor{Name: "ann"}); err != nil {
				t.Fatal(err)
			}
		} else {
			maes := map[string]float64{"a": 200, "b": 200, "c": 200}
			maes[step.model] = 100
			decided(t, h, proposal(t, step.model, step.hour, maes))
		}
		if got := champion(); got != step.want {
			t.Errorf("%s at %d: the champion is %s, want %s", step.model, step.hour, got, step.want)
		}
	}
	actions, err := registry.Audit(t.Context(), client, 0)
	if err != nil {
		t.Fatal(err)
	}
	var trail []string
	for _, a := range actions {
		trail = append(trail, fmt.Sprintf("%s>%s by %s", a.From, a.To, a.By))
	}
	const want = "a>c by best model, c>a by ann, b>c by best model, a>b by best model, >a by catalogue"
	if got := strings.Join(trail, ", "); got != want {
		t.Errorf("audit trail %q, want %q", got, want)
	}
}

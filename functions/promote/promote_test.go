package promote_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

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

// registryFunc is a function as a Registry.
type registryFunc func(c registry.Candidates, judge func(registry.Reign) registry.Verdict) (registry.Succession, error)

func (f registryFunc) Succeed(_ context.Context, c registry.Candidates, judge func(registry.Reign) registry.Verdict) (registry.Succession, error) {
	return f(c, judge)
}

// met has the first of all candidates judged in one reign.
func met(r registry.Reign) registryFunc {
	return func(c registry.Candidates, judge func(registry.Reign) registry.Verdict) (registry.Succession, error) {
		r.Candidate = c.Models[0]
		s := registry.Succession{Verdict: judge(r), Candidate: r.Candidate, Champion: r.Champion, Newest: c.At}
		if s.Promote {
			s.Champion = r.Candidate
		}
		return s, nil
	}
}

// failing is a registry that gives nothing but an error.
func failing(err error) registryFunc {
	return func(registry.Candidates, func(registry.Reign) registry.Verdict) (registry.Succession, error) {
		return registry.Succession{}, err
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
	old := registry.Reign{Champion: "old", Promotion: online.PromotionAutomatic, Since: clock(8), Count: 5000, Streak: 2}
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
		{"less error", old, both, "+for 3 hours in a row it was better: in the one before 2016-01-04T12:00:00Z it erred by 100.0 s over 400 trips and old by 106.0 s"},
		{"for the first time", with(func(r *registry.Reign) { r.Streak = 0 }), both, "it has been better for 1 of 3 hours in a row"},
		{"for the second time", with(func(r *registry.Reign) { r.Streak = 1 }), both, "it has been better for 2 of 3 hours in a row"},
		{"for long", with(func(r *registry.Reign) { r.Streak = 30 }), both, "+for 31 hours in a row"},
		{"at the margin", old, map[string]float64{"old": 105, "new": 100}, "it errs by 100.0 s and old by 105.0 s, which is not 5 % more"},
		{"champion not judged", old, map[string]float64{"new": 100}, "+for 3 hours in a row it was better: in the one before 2016-01-04T12:00:00Z it erred by 100.0 s over 400 trips, and old was not judged"},
		{"champion not judged for once", with(func(r *registry.Reign) { r.Streak = 0 }), map[string]float64{"new": 100}, "it has been better for 1 of 3 hours in a row"},
		{"champion not judged, held", with(func(r *registry.Reign) { r.Since = clock(11) }), map[string]float64{"new": 100}, "a champion stays"},
		{"champion broken", with(func(r *registry.Reign) {
			r.ChampionUnfit, r.Streak, r.Since, r.ByHand = &registry.StateError{Model: "old", Reason: "lost"}, 0, clock(12), true
		}), map[string]float64{"old": 90, "new": 100}, `+it erred by 100.0 s, and of old, the champion: it cannot be served: "lost"`},
		{"both broken", with(func(r *registry.Reign) {
			r.ChampionUnfit, r.Unfit = &registry.StateError{Model: "old", Reason: "lost"}, &registry.StateError{Model: "new", Reason: "lost too"}
		}), both, `it cannot be served: "lost too"`},
		{"absurd", old, map[string]float64{"old": 1.7e308, "new": 1.2e308}, "+by 1.2e+308 s over 400 trips and old by 1.7e+308 s"},
		{"champion", with(func(r *registry.Reign) { r.Champion = "new" }), both, "it is the champion"},
		{"manual", with(func(r *registry.Reign) { r.Promotion = online.PromotionManual }), both, "promotion: manual"},
		{"unknown", with(func(r *registry.Reign) { r.Unfit = registry.ErrNotFound }), both, `no model "new"`},
		{"warming", with(func(r *registry.Reign) { r.Unfit = registry.ErrWarming }), both, "being warmed up"},
		{"of a reason of its own", with(func(r *registry.Reign) { r.Unfit = errors.New(strings.Repeat("x", 900)) }), both, `it cannot be served: "xxx`},
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
				if d.Promoted != promoted || !strings.Contains(d.Reason, want) || len(d.Reason) > 500 || d.Model != "new" || !d.At.Equal(clock(12)) {
					t.Errorf("decided %+v, want %q", d, c.want)
				}
			}
		})
	}
}

func TestInput(t *testing.T) {
	h := promote.New(failing(errors.New("the registry was asked")), promote.Options{})
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
		h := promote.New(failing(cause), promote.Options{})
		out, err := h.Handle(t.Context(), proposal(t, "new", 12, map[string]float64{"new": 1}))
		var invalid *events.InvalidError
		if out != nil || !errors.Is(err, cause) || errors.As(err, &invalid) {
			t.Errorf("event %v, error %v, want %v", out, err, cause)
		}
	}
}

// Those that follow the proposed one, too, are candidates: by their error, and of equals
// by their name.
func TestRanked(t *testing.T) {
	var got registry.Candidates
	h := promote.New(registryFunc(func(c registry.Candidates, _ func(registry.Reign) registry.Verdict) (registry.Succession, error) {
		got = c
		return registry.Succession{Verdict: registry.Verdict{Reason: "none"}, Candidate: "d", Champion: "a"}, nil
	}), promote.Options{MinLabels: 7, Logger: slog.New(slog.DiscardHandler)})
	for range 20 { // however a map is gone through
		d := decided(t, h, proposal(t, "p", 12, map[string]float64{"c": 30, "b": 20, "d": 20, "a": 30, "p": 20.5}))
		if fmt.Sprint(got) != fmt.Sprint(registry.Candidates{Models: []string{"p", "b", "d", "a", "c"}, MinLabels: 7, At: clock(12)}) {
			t.Fatalf("the candidates are %v", got)
		}
		if d.Model != "d" || d.Champion != "a" {
			t.Fatalf("decided %+v", d)
		}
	}
}

// No reason, whoever has the names in it, is one that the audit trail refuses.
func TestReasonFits(t *testing.T) {
	long := strings.Repeat("ä", 300)
	r := registry.Reign{Champion: long, Promotion: online.PromotionAutomatic, Count: 5000, ChampionUnfit: errors.New(long)}
	var reason string
	h := promote.New(registryFunc(func(c registry.Candidates, judge func(registry.Reign) registry.Verdict) (registry.Succession, error) {
		r.Candidate = c.Models[0]
		v := judge(r)
		reason = v.Reason
		return registry.Succession{Verdict: v, Candidate: r.Candidate, Champion: r.Candidate}, nil
	}), promote.Options{Logger: slog.New(slog.DiscardHandler)})
	decided(t, h, proposal(t, "new", 12, map[string]float64{"new": 1}))
	if n := utf8.RuneCountInString(reason); n != 500 || !strings.HasSuffix(reason, "…") {
		t.Errorf("a reason of %d characters: %s", n, reason)
	}
}

// What is logged, and as what.
func TestTells(t *testing.T) {
	for _, c := range []struct {
		name string
		of   registry.Succession
		want string
	}{
		{"the champion", registry.Succession{Candidate: "a", Champion: "a", Newest: clock(12)}, "DEBUG"},
		{"promoted", registry.Succession{Verdict: registry.Verdict{Promote: true}, Candidate: "a", Champion: "a", Newest: clock(12)}, "INFO"},
		{"refused", registry.Succession{Candidate: "a", Champion: "b", Newest: clock(12)}, "INFO"},
		{"again", registry.Succession{Candidate: "a", Champion: "b", Stale: true, Newest: clock(12)}, "DEBUG"},
		{"a day late", registry.Succession{Candidate: "a", Champion: "b", Stale: true, Newest: clock(36)}, "DEBUG"},
		{"of a clock that was wrong", registry.Succession{Candidate: "a", Champion: "b", Stale: true, Newest: clock(37)}, "WARN models promote"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var log strings.Builder
			c.of.Reason = "because"
			h := promote.New(registryFunc(func(registry.Candidates, func(registry.Reign) registry.Verdict) (registry.Succession, error) {
				return c.of, nil
			}), promote.Options{Logger: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))})
			decided(t, h, proposal(t, "a", 12, map[string]float64{"a": 1}))
			level, says, _ := strings.Cut(c.want, " ")
			if got := log.String(); !strings.Contains(got, "level="+level) || !strings.Contains(got, says) || strings.Count(got, "\n") != 1 {
				t.Errorf("it says %s", got)
			}
		})
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
	models := promote.NewRedis(client, kinds.All())
	if err := models.Ready(t.Context()); err != nil {
		t.Error(err)
	}
	h := promote.New(models, promote.Options{MinLabels: 1, HandHold: 4 * time.Hour, Logger: slog.New(slog.DiscardHandler)})
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
		{"b", 7, "a"},  // met for the first time
		{"b", 8, "a"},  // held
		{"b", 9, "b"},  // two hours on, and for the third time
		{"b", 9, "b"},  // again
		{"a", 8, "b"},  // late
		{"c", 10, "b"}, // held
		{"c", 11, "b"}, // for the second time
		{"b", 12, "b"}, // not any more
		{"c", 13, "b"}, // again for the first time
		{"c", 14, "b"}, // for the second
		{"c", 15, "c"}, // and the third
		{"c", -1, "c"}, // it is to stay
		{"a", 16, "c"}, // and is met
		{"a", 17, "c"}, // held
		{"a", 18, "c"}, // as it was promoted by hand
		{"a", 20, "a"}, // and no longer
		{"unknown", 21, "a"},
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
	const want = "c>a by best model, c>c by ann, b>c by best model, a>b by best model, >a by catalogue"
	if got := strings.Join(trail, ", "); got != want {
		t.Errorf("audit trail %q, want %q", got, want)
	}
}

package registry

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/redis/go-redis/v9"
)

func testWarmUpRefuses(t *testing.T, s store) {
	ctx, client := t.Context(), s.client(t)
	s.toWarmUp(t, "old", "new", "live")
	if _, err := Abandon(ctx, client, testKinds(), "live", ann); err != nil {
		t.Fatal(err)
	}
	learnN(t, s.committer(t, CommitterOptions{}), 0, 3)
	log := writtenTo(1, labelsN(0, 3)...)
	warmUp := func(model string, opts WarmUpOptions) error {
		_, err := WarmUp(ctx, client, testKinds(), model, log, opts)
		return err
	}
	abandon := func(model string) error {
		_, err := Abandon(ctx, client, testKinds(), model, ann)
		return err
	}
	tests := []struct {
		name string
		err  error
		is   error
		says string
	}{
		{"no such model", warmUp("none", soon(WarmUpOptions{By: ann})), ErrNotFound, "its models are old, new, live"},
		{"nobody", warmUp("new", WarmUpOptions{}), ErrActor, "no name"},
		{"the champion", warmUp("old", soon(WarmUpOptions{By: ann, FromNothing: true})), ErrConflict, "promote another one first"},
		{"has learned", warmUp("live", soon(WarmUpOptions{By: ann})), ErrConflict, "has learned 3 labels"},
		{"abandon what is live", abandon("live"), ErrConflict, "it is not being warmed up"},
		{"abandon what is not there", abandon("none"), ErrNotFound, "its models are"},
		{"promote", second(Promote(ctx, client, testKinds(), "new", "", ann)), ErrWarming, "promoted once it is live"},
		{"roll back", second(Rollback(ctx, client, testKinds(), "new", 1, 0, ann)), ErrNotFound, "no snapshot"},
	}
	for _, tt := range tests {
		if !errors.Is(tt.err, tt.is) || !strings.Contains(tt.err.Error(), tt.says) {
			t.Errorf("%s: error %v, want %v with %q", tt.name, tt.err, tt.is, tt.says)
		}
	}
	if h := s.head(t, "new"); h.version != 1 || h.warming == nil || h.warming.Position != nil {
		t.Errorf("head %+v after all this", h)
	}
	// A snapshot that was taken while it warms up cannot be gone back to yet.
	stopping, stop := context.WithCancel(ctx)
	_, err := WarmUp(stopping, client, testKinds(), "new", writtenTo(1, labelsN(0, 900)...), soon(WarmUpOptions{By: ann, Progress: func(WarmedUp) { stop() }}))
	if !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	if _, err := Rollback(ctx, client, testKinds(), "new", 2, 0, ann); !errors.Is(err, ErrWarming) {
		t.Errorf("error %v, want ErrWarming", err)
	}
}

func second[T any](_ T, err error) error { return err }

// A label on which the model panics is skipped and told of, the others are learned.
func testWarmUpPanic(t *testing.T, s store) {
	s.toWarmUp(t, "old", "fragile=Fragile")
	var skipped []error
	done := s.warmUp(t, "fragile", writtenTo(2, labelsN(0, 20)...), WarmUpOptions{
		Commits: CommitterOptions{MaxBatch: 9}, Skipped: func(err error) { skipped = append(skipped, err) },
	})
	var panicked *PanicError
	if len(skipped) != 1 || !errors.As(skipped[0], &panicked) || panicked.Label != "trip-13" {
		t.Errorf("skipped %v, want trip-13", skipped)
	}
	if done.Count != 19 || done.Taught != 19 || done.Panicked != 1 {
		t.Errorf("%+v", done)
	}
	s.checkTravel(t, "fragile", labelled(20))
}

// stuck is a log that has an end and does not come there.
type stuck struct{ *written }

func (l stuck) Next(_ context.Context, from, _ Position, _ int) ([]Label, Position, error) {
	return nil, from, nil
}

// failing is a log that cannot be read.
type failing struct{ *written }

var errLog = errors.New("no broker")

func (failing) Next(context.Context, Position, Position, int) ([]Label, Position, error) {
	return nil, nil, errLog
}

func testWarmUpLogAtFault(t *testing.T, s store) {
	s.toWarmUp(t, "old", "new")
	log := writtenTo(1, labelsN(0, 5)...)
	for name, tt := range map[string]struct {
		log  Log
		says string
	}{
		"stuck":   {stuck{log}, "does not go on"},
		"failing": {failing{log}, errLog.Error()},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := WarmUp(t.Context(), s.client(t), testKinds(), "new", tt.log, soon(WarmUpOptions{By: ann}))
			if err == nil || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("error %v, want %q", err, tt.says)
			}
		})
	}
	log.write(labelN(0)) // once more, and nothing else
	done := s.warmUp(t, "new", log, WarmUpOptions{Commits: CommitterOptions{MaxBatch: 1}})
	if done.Taught != 5 || done.Duplicates != 1 {
		t.Errorf("%+v, want a duplicate", done)
	}
	s.checkLearned(t, mustCatalogue(t, s).Models[1], 5)
}

// What no replay has written breaks the model and no other, and a restart or a
// rollback makes it whole.
func testWarmUpHostile(t *testing.T, s store) {
	ctx, client := t.Context(), s.client(t)
	s.applied(t, "old", "new")
	learnN(t, s.committer(t, CommitterOptions{}), 0, 2)
	n := 2
	for _, text := range []string{
		"x", "null", "[]", "{}", `{"token":""}`, `{"token":"t","position":[-1]}`, `{"token":"t","position":{}}`, `{"token":"t","joining_ms":-1}`,
		`{"token":"t","joining_ms":253402300800000}`, `{"token":"` + strings.Repeat("t", 65) + `"}`, `{"token":"t"}` + strings.Repeat(" ", longestWarming),
	} {
		client.HSet(ctx, headKey("new"), fieldWarming, text)
		outcomes, err := s.committer(t, CommitterOptions{}).Learn(ctx, labelN(n))
		var broken *StateError
		if err != nil || outcomes[0].Err != nil || !errors.As(outcomes[1].Err, &broken) {
			t.Fatalf("%.80q: %+v, %v, want the model to be broken", text, outcomes, err)
		}
		if models := now(t, s.reader(t, ReaderOptions{})); len(models.Healthy) != 1 || models.Broken["new"] == nil {
			t.Errorf("%.80q: models %s are served", text, names(models))
		}
		n++
		if n%2 == 0 {
			s.rollback(t, "new", 1)
		} else {
			s.warmUp(t, "new", writtenTo(1, labelsN(0, 2)...), WarmUpOptions{FromNothing: true})
		}
		if h := s.head(t, "new"); h.warming != nil {
			t.Errorf("%.80q: head %+v", text, h)
		}
	}
}

func FuzzParseWarming(f *testing.F) {
	f.Add(`{"token":"t","position":[1,0,3],"joining_ms":1700000000000}`)
	f.Add(`{"token":"t"}`)
	f.Add(`{"position":[9223372036854775808]}`)
	f.Fuzz(func(t *testing.T, text string) {
		w, err := parseWarming(text)
		if err != nil {
			return
		}
		again, err := parseWarming(w.encode())
		if err != nil || again.Token != w.Token || again.JoiningMS != w.JoiningMS || !slices.Equal(again.Position, w.Position) {
			t.Errorf("%q is %+v, and %+v, %v when it is written and read", text, w, again, err)
		}
	})
}

// A model is live from where the replay was, and what it had learned stays learned.
func testAbandon(t *testing.T, s store) {
	ctx, client := t.Context(), s.client(t)
	s.toWarmUp(t, "old", "new")
	stopping, stop := context.WithCancel(ctx)
	opts := soon(WarmUpOptions{By: ann, Commits: CommitterOptions{MaxBatch: 4}, Progress: func(WarmedUp) { stop() }})
	done, err := WarmUp(stopping, client, testKinds(), "new", writtenTo(1, labelsN(0, 10)...), opts)
	if !errors.Is(err, context.Canceled) || done.Taught != 4 || done.Live {
		t.Fatalf("%+v, %v", done, err)
	}
	action, err := Abandon(ctx, client, testKinds(), "new", Actor{"ann", "enough"})
	if want := (Action{At: action.At, Kind: KindAbandon, Model: "new", From: "2", To: "2", By: "ann", Reason: "enough"}); err != nil || action != want || action.At.IsZero() {
		t.Errorf("action %+v, %v, want %+v", action, err, want)
	}
	if got := s.audit(t, 0); !slices.Contains(got, action) {
		t.Errorf("audit trail %+v", got)
	}
	learnN(t, s.committer(t, CommitterOptions{}), 2, 4)
	learnN(t, s.committer(t, CommitterOptions{}), 10, 12)
	if got := fmt.Sprint(tracedOrder(t, mustCatalogue(t, s).Models[1], s.head(t, "new").state)); got != "[0 1 2 3 10 11]" {
		t.Errorf("the state has learned %s", got)
	}
	s.checkTravel(t, "new", labelled(12))
}

// unanswered is a hook after which a client gets no answer any more: the command
// of its number is sent, or not.
type unanswered struct {
	at   int
	sent bool
	n    atomic.Int64 // a cluster is asked on several connections at once
	dead func()
}

var errKilled = errors.New("killed")

func (u *unanswered) DialHook(next redis.DialHook) redis.DialHook { return next }

func (u *unanswered) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if cmd.Name() == "cluster" { // of the client's own accord
			return next(ctx, cmd)
		}
		return u.step(func() error { return next(ctx, cmd) })
	}
}

func (u *unanswered) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		return u.step(func() error { return next(ctx, cmds) })
	}
}

func (u *unanswered) step(do func() error) error {
	switch n := int(u.n.Add(1)); {
	case n < u.at:
		return do()
	case n == u.at && u.sent:
		_ = do()
	}
	u.dead()
	return errKilled
}

// The audit trail has the version that was given up, also where the replay has
// committed in between.
func testAbandonRaces(t *testing.T, s store) {
	s.toWarmUp(t, "old", "new")
	client, other := s.client(t), s.client(t)
	hooked(t, client, atExec(sync.OnceFunc(func() { other.HSet(t.Context(), headKey("new"), fieldVersion, 9) })))
	action, err := Abandon(t.Context(), client, testKinds(), "new", ann)
	if err != nil || action.From != "9" || action.To != "9" || s.audit(t, 1)[0] != action {
		t.Errorf("%+v, %v, want version 9", action, err)
	}
}

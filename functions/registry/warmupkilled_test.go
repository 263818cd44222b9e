package registry

import (
	"context"
	"errors"
	"io"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// A replay is killed before or after any of its commands, learners go on, and it is
// started again: whatever it had done is done once.
func testWarmUpKilled(t *testing.T, s store) {
	const past, all = 10, 16
	for _, sent := range []bool{false, true} {
		for step, finished := 1, false; !finished; step++ {
			s.flush(t)
			finished = s.killedAt(t, step, sent, past, all)
			if t.Failed() {
				t.Fatalf("killed at command %d, sent: %t", step, sent)
			}
			if finished && step < 20 {
				t.Errorf("a warm-up had only %d commands", step)
			}
		}
	}
}

// killedAt kills a replay at a command, and reports whether it had finished before.
func (s store) killedAt(t *testing.T, step int, sent bool, past, all int) bool {
	s.applied(t, "old", "new")
	spec := mustCatalogue(t, s).Models[1]
	log := writtenTo(2, labelsN(0, past)...)
	ctx, kill := context.WithCancel(t.Context())
	defer kill()
	client := s.client(t)
	hooked(t, client, &unanswered{at: step, sent: sent, dead: kill})
	opts := soon(WarmUpOptions{By: ann, JoinWithin: time.Minute, Commits: CommitterOptions{MaxBatch: 4}})
	_, err := WarmUp(ctx, client, testKinds(), "new", log, opts)
	if err != nil && !errors.Is(err, context.Canceled) && !errors.Is(err, errKilled) {
		t.Errorf("error %v, want one of being killed", err)
	}
	committer := s.committer(t, CommitterOptions{})
	h := s.head(t, "new")
	if h.warming != nil && h.warming.isJoining() {
		s.hurry(t, "new") // nobody hears of it until its time is over
	}
	n := past
	for ; h.version > 0 && n < past+3; n++ { // before it has begun they would be the model's first
		log.write(labelN(n))
		learnN(t, committer, n, n+1)
	}
	if h.version == 0 || h.warming != nil { // else it is live, whether it was told so or not
		s.warmUp(t, "new", log, opts)
	}
	for ; n < all; n++ {
		log.write(labelN(n))
	}
	learnN(t, committer, 0, all)
	s.checkLearned(t, spec, all)
	s.checkTravel(t, "new", labelled(all))
	return err == nil
}

// forgetful is a hook that loses the answer to every other transaction that tells
// of itself, in a stream.
type forgetful struct{ n, lost int }

func (f *forgetful) DialHook(next redis.DialHook) redis.DialHook          { return next }
func (f *forgetful) ProcessHook(next redis.ProcessHook) redis.ProcessHook { return next }
func (f *forgetful) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		err := next(ctx, cmds)
		if err == nil && slices.ContainsFunc(cmds, func(c redis.Cmder) bool { return c.Name() == "xadd" }) {
			if f.n++; f.n%2 == 0 {
				f.lost++
				return io.ErrUnexpectedEOF
			}
		}
		return err
	}
}

// Whether a transaction was made is found out from what it has changed, and it is
// not made again.
func testWarmUpAnswersLost(t *testing.T, s store) {
	const labels = 12
	for first := range 2 {
		s.flush(t)
		s.toWarmUp(t, "old", "new")
		client, answers := s.client(t), &forgetful{n: first}
		hooked(t, client, answers)
		opts := soon(WarmUpOptions{By: ann, Commits: CommitterOptions{MaxBatch: 2}})
		done, err := WarmUp(t.Context(), client, testKinds(), "new", writtenTo(1, labelsN(0, labels)...), opts)
		if err != nil {
			t.Fatal(err)
		}
		h := s.head(t, "new")
		if !done.Live || done.Taught != labels || done.Version != h.version || done.Count != h.count || h.warming != nil || answers.lost < 3 {
			t.Errorf("%+v with %d answers lost", done, answers.lost)
		}
		s.checkLearned(t, mustCatalogue(t, s).Models[1], labels)
		s.checkTravel(t, "new", labelled(labels))
	}
}

// goneLive is a hook that loses the answer to what makes a model live, and every
// other until a while later.
type goneLive struct {
	mu   sync.Mutex
	away time.Duration
	till time.Time
	lost int
}

func (h *goneLive) DialHook(next redis.DialHook) redis.DialHook { return next }
func (h *goneLive) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error { return h.answer(next(ctx, cmd), false) }
}

func (h *goneLive) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		return h.answer(next(ctx, cmds), slices.ContainsFunc(cmds, func(c redis.Cmder) bool { return c.Name() == "hdel" }))
	}
}

func (h *goneLive) answer(err error, live bool) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if live && err == nil {
		h.till = time.Now().Add(h.away)
	}
	if time.Now().Before(h.till) {
		h.lost++
		return io.ErrUnexpectedEOF
	}
	return err
}

// That the model is live is found out when Redis is back, also where it is away for
// longer than labels may be held back.
func testWarmUpLiveAnswerLost(t *testing.T, s store) {
	s.toWarmUp(t, "old", "new")
	client, hook := s.client(t), &goneLive{away: 700 * time.Millisecond}
	hooked(t, client, hook)
	opts := soon(WarmUpOptions{By: ann, JoinWithin: 500 * time.Millisecond})
	done, err := WarmUp(t.Context(), client, testKinds(), "new", writtenTo(1, labelsN(0, 5)...), opts)
	if err != nil || !done.Live || done.Count != 5 || hook.lost < 2 {
		t.Errorf("%+v, %v after %d answers were lost, want it live", done, err, hook.lost)
	}
	// It may be of the same millisecond as what was applied.
	actions := s.audit(t, 0)
	if n := slices.IndexFunc(actions, func(a Action) bool { return a.Kind == KindWarmUp && a.Model == "new" }); n < 0 {
		t.Errorf("audit trail %s", trail(actions))
	}
}

package registry

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"tripcast.dev/functions/online"
)

// job is a label on its way into one model.
type job struct {
	ctx     context.Context // whoever waits for it
	label   Label
	results chan<- Outcome
	// unsure is set after a commit of the label whose outcome is unknown, as the
	// connection broke: if its id is then found, this commit was the one.
	unsure bool
}

// worker is the only one in its process that commits to its model.
type worker struct {
	client redis.UniversalClient
	kinds  online.Kinds
	spec   online.Spec
	opts   CommitterOptions
	log    *slog.Logger
	last   atomic.Pointer[error] // why the last attempt to commit failed, if it did

	gate    sync.RWMutex // held to hand over a job, locked to stop
	stopped bool
	jobs    chan []job // each at most MaxBatch, to be committed together

	// Only run uses what follows.
	next     []job            // taken from jobs, and too many for the batch before
	pipeline *online.Pipeline // as of at, nil where that is not known
	at       string           // the commit
	entry    string           // its entry in the lineage and among the labels, the newest
	watching bool             // the connection watches keys
	ahead    time.Duration    // of this clock, Redis's is: the clocks of learners may differ
	compared time.Time        // when that was found out
	x        []float64
	state    []byte
	reported string        // the error that was logged last
	took     time.Duration // the last attempt to commit
	met      time.Time     // when another learner was met last
}

func newWorker(client redis.UniversalClient, kinds online.Kinds, spec online.Spec, opts CommitterOptions) *worker {
	return &worker{
		client: client, kinds: kinds, spec: spec, opts: opts,
		log:  opts.Logger.With("model", spec.Name),
		jobs: make(chan []job, 2*opts.MaxBatch),
	}
}

// enqueue hands over jobs that are to be committed together, waiting for room
// as long as ctx lasts.
func (w *worker) enqueue(ctx context.Context, together []job) error {
	w.gate.RLock()
	defer w.gate.RUnlock()
	if w.stopped {
		return fmt.Errorf("%w: model %s is leaving the catalogue", ErrBusy, w.spec.Name)
	}
	select {
	case w.jobs <- together:
		return nil
	case <-ctx.Done():
		return w.late(ctx)
	}
}

// late is why a label was not committed in time.
func (w *worker) late(ctx context.Context) error {
	if cause := context.Cause(ctx); !errors.Is(cause, errWaitedTooLong) {
		return fmt.Errorf("registry: learn with model %s: %w", w.spec.Name, cause)
	}
	if err := w.last.Load(); err != nil {
		return fmt.Errorf("registry: learn with model %s within %s: %w", w.spec.Name, w.opts.MaxWait, *err)
	}
	return fmt.Errorf("%w: model %s has not committed within %s", ErrBusy, w.spec.Name, w.opts.MaxWait)
}

// stop lets run end after the jobs that were handed over.
func (w *worker) stop() {
	w.gate.Lock()
	defer w.gate.Unlock()
	if !w.stopped {
		w.stopped = true
		close(w.jobs)
	}
}

// run commits until stop, as many labels at a time as are waiting.
func (w *worker) run() {
	batch := make([]job, 0, w.opts.MaxBatch)
	for {
		if batch = w.gather(batch[:0]); len(batch) == 0 {
			return
		}
		w.commit(batch)
		clear(batch[:cap(batch)])
		w.yield()
	}
}

// gather waits for jobs and appends all that are there, as far as they fit. None
// at all is the end.
func (w *worker) gather(batch []job) []job {
	if w.next == nil {
		together, ok := <-w.jobs
		if !ok {
			return batch
		}
		w.next = together
	}
	return w.more(batch)
}

// more appends the jobs that are there by now. What was handed over together
// stays together.
func (w *worker) more(batch []job) []job {
	for {
		if w.next == nil {
			select {
			case w.next = <-w.jobs: // nil once it is closed
			default:
			}
		}
		if w.next == nil || len(batch)+len(w.next) > w.opts.MaxBatch {
			return batch
		}
		batch, w.next = append(batch, w.next...), nil
	}
}

// commit retries a batch until every job has its outcome or nobody waits for it.
func (w *worker) commit(batch []job) {
	for attempt := 0; ; attempt++ {
		batch = waitedFor(batch)
		if len(batch) == 0 {
			return
		}
		ctx, cancel := context.WithTimeout(context.Background(), w.opts.MaxWait)
		started := time.Now()
		outcomes, err := w.try(ctx, batch)
		w.took = time.Since(started)
		cancel()
		if err == nil {
			w.last.Store(nil)
			w.report(nil)
			for i, j := range batch {
				j.results <- outcomes[i]
			}
			return
		}
		w.pipeline = nil // it may have learned what was not committed
		w.last.Store(&err)

		var broken *StateError
		var panicked *PanicError
		switch {
		case errors.As(err, &broken) || errors.Is(err, errReplaced):
			w.report(err)
			for _, j := range batch {
				j.results <- Outcome{Model: w.spec.Name, Err: err}
			}
			return
		case errors.As(err, &panicked):
			w.report(err)
			batch = refuse(batch, w.spec.Name, panicked)
		case errors.Is(err, ErrBusy) && !errors.Is(err, errJoining):
			w.report(err)
			w.yield()
			batch = w.more(batch)
		default:
			w.report(err)
			time.Sleep(pause(attempt))
		}
	}
}

// waitedFor drops the jobs nobody waits for: their labels will come again.
func waitedFor(batch []job) []job {
	kept := batch[:0]
	for _, j := range batch {
		if j.ctx.Err() == nil {
			kept = append(kept, j)
		}
	}
	return kept
}

// refuse ends the jobs of the label that a model panicked on.
func refuse(batch []job, model string, err *PanicError) []job {
	kept := batch[:0]
	for _, j := range batch {
		if j.label.ID == err.Label {
			j.results <- Outcome{Model: model, Err: err}
			continue
		}
		kept = append(kept, j)
	}
	return kept
}

// report logs an error when it is another than before. Losing a race is none.
func (w *worker) report(err error) {
	text := ""
	if err != nil && !errors.Is(err, ErrBusy) {
		text = err.Error()
	}
	if text != "" && text != w.reported {
		w.log.Error("labels are not committed", "err", err)
	}
	w.reported = text
}

// yield lets other learners have their turn, if there are any: whoever commits
// has the state at hand and would be first again and again with a few labels,
// while those who have to read it first come too late with many. It also lets
// labels gather: what limits learners that race is how often they can commit.
func (w *worker) yield() {
	if time.Since(w.met) < time.Second {
		time.Sleep(rand.N(min(4*w.took, 100*time.Millisecond) + 1))
	}
}

// pause is a random while, longer with every attempt.
func pause(attempt int) time.Duration {
	limit := min(time.Millisecond<<min(attempt, 10), 100*time.Millisecond)
	return rand.N(limit) + limit/10
}

// try commits a batch once. On an error nothing was committed, or nobody knows:
// then the jobs concerned are unsure.
func (w *worker) try(ctx context.Context, batch []job) (outcomes []Outcome, err error) {
	name := w.spec.Name
	err = w.transaction(ctx, func(tx *redis.Tx) error {
		h, learned, err := w.look(ctx, tx, batch)
		if err != nil {
			return err
		}
		if h.warming != nil {
			outcomes, err = w.leave(ctx, tx, h, len(batch))
			return err
		}
		var fresh []int
		outcomes, fresh = sift(batch, name, h.version, learned)
		if len(fresh) == 0 {
			return nil
		}
		if err := w.catchUp(ctx, tx, h); err != nil {
			return err
		}
		for _, i := range fresh {
			if err := w.learn(batch[i].label); err != nil {
				return err
			}
		}
		return w.exec(ctx, tx, h, batch, fresh)
	})
	switch {
	case err == nil:
		return outcomes, nil
	case errors.Is(err, redis.TxFailedErr):
		w.met = time.Now()
		return nil, fmt.Errorf("%w: another learner has committed to model %s", ErrBusy, name)
	case isOurs(err):
		return nil, err
	}
	return nil, unavailable("commit to model "+name, err)
}

// look watches and reads, in one round trip, the head and which labels have been
// learned, and now and then Redis's clock.
func (w *worker) look(ctx context.Context, tx *redis.Tx, batch []job) (head, []bool, error) {
	ids := make([]any, len(batch))
	for i, j := range batch {
		ids[i] = j.label.ID
	}
	var headCmd *redis.SliceCmd
	var clock *redis.TimeCmd
	var a, b *redis.BoolSliceCmd
	w.watching = true
	_, err := tx.Pipelined(ctx, func(pipe redis.Pipeliner) error {
		pipe.Do(ctx, "watch", headKey(w.spec.Name), idsKey(w.spec.Name, "a"), idsKey(w.spec.Name, "b"))
		headCmd = readHead(ctx, pipe, w.spec.Name, false)
		if len(ids) > 0 { // a replay comes through parts of the log without labels
			a = pipe.SMIsMember(ctx, idsKey(w.spec.Name, "a"), ids...)
			b = pipe.SMIsMember(ctx, idsKey(w.spec.Name, "b"), ids...)
		}
		if time.Since(w.compared) > time.Second {
			clock = pipe.Time(ctx)
		}
		return nil
	})
	if err != nil {
		return head{}, nil, keyError(w.spec.Name, err)
	}
	if clock != nil {
		w.ahead, w.compared = time.Until(clock.Val()), time.Now()
	}
	h, err := parseHead(w.spec.Name, headCmd.Val())
	if err != nil {
		return head{}, nil, err
	}
	if len(ids) == 0 {
		return h, nil, nil
	}
	learned := a.Val()
	for i, inB := range b.Val() {
		learned[i] = learned[i] || inB
	}
	return h, learned, nil
}

// sift returns the outcomes that a commit onto this version will have, and
// which jobs are to be learned for it. A label that is there twice is learned once.
func sift(batch []job, model string, version uint64, learned []bool) (outcomes []Outcome, fresh []int) {
	outcomes = make([]Outcome, len(batch))
	seen := make(map[string]bool, len(batch))
	for i, j := range batch {
		switch {
		case learned[i]:
			outcomes[i] = Outcome{Model: model, Version: version, Duplicate: !j.unsure}
		case seen[j.label.ID]:
			outcomes[i] = Outcome{Model: model, Version: version + 1, Duplicate: true}
		default:
			outcomes[i] = Outcome{Model: model, Version: version + 1}
			seen[j.label.ID] = true
			fresh = append(fresh, i)
		}
	}
	return outcomes, fresh
}

// catchUp makes the pipeline the one of the head, reading it where another
// learner has committed since.
func (w *worker) catchUp(ctx context.Context, tx *redis.Tx, h head) error {
	if w.pipeline != nil && w.at == h.commit {
		return nil
	}
	var stateCmd *redis.SliceCmd
	var lineage, labels *redis.XMessageSliceCmd
	if _, err := tx.Pipelined(ctx, func(pipe redis.Pipeliner) error {
		stateCmd = pipe.HMGet(ctx, headKey(w.spec.Name), fieldCommit, fieldState)
		lineage = pipe.XRevRangeN(ctx, lineageKey(w.spec.Name), "+", "-", 1)
		labels = pipe.XRevRangeN(ctx, labelsKey(w.spec.Name), "+", "-", 1)
		return nil
	}); err != nil {
		return keyError(w.spec.Name, err)
	}
	values := stateCmd.Val()
	if commit, _ := values[0].(string); commit != h.commit {
		return redis.TxFailedErr // it would fail: the key is watched
	}
	h.state, _ = values[1].(string)
	w.entry = ""
	for _, entry := range slices.Concat(lineage.Val(), labels.Val()) { // one of the two may be lost
		w.entry = laterID(w.entry, entry.ID)
	}
	if err := w.following(ctx, h); err != nil {
		return err
	}
	if full(w.entry) {
		return &StateError{Model: w.spec.Name, Reason: "its lineage or labels in Redis end with the entry " + w.entry + ", after which there can be none"}
	}
	pipeline, err := load(w.spec, h)
	if err != nil {
		return err
	}
	if w.pipeline != nil {
		w.met = time.Now()
	}
	w.pipeline, w.at = pipeline, h.commit
	return nil
}

// errReplaced is a model that was restarted under another specification, which
// the catalogue has by now: whoever follows it learns the label.
var errReplaced = fmt.Errorf("%w: the model has another specification in the catalogue by now", ErrBusy)

// following returns errReplaced if a head belongs to another specification as
// the catalogue has moved on. If it has not, the model is broken, and load says so.
func (w *worker) following(ctx context.Context, h head) error {
	if fits(w.spec, h) == nil {
		return nil
	}
	c, _, err := readCatalogue(ctx, w.client, w.kinds)
	if errors.Is(err, ErrUnavailable) {
		return err
	}
	if err != nil {
		return nil // a catalogue that nobody can follow has replaced nothing
	}
	if spec, ok := c.Find(w.spec.Name); ok && spec.Hash() != w.spec.Hash() {
		return errReplaced
	}
	return nil
}

// learn teaches one label to the pipeline.
func (w *worker) learn(label Label) error {
	w.x = w.pipeline.Vector(w.x[:0], label.Features)
	err := w.pipeline.Teach(w.x, label.Y)
	if panicked, ok := errors.AsType[*online.PanicError](err); ok {
		return &PanicError{Model: w.spec.Name, Label: label.ID, Value: panicked.Value}
	}
	return err
}

// exec commits what the pipeline has learned onto the head, with all that tells
// of it.
func (w *worker) exec(ctx context.Context, tx *redis.Tx, h head, batch []job, fresh []int) error {
	var err error
	if w.state, err = w.pipeline.AppendBinary(w.state[:0]); err != nil {
		return &StateError{Model: w.spec.Name, Reason: "cannot be encoded: " + err.Error()}
	}
	ids := make([]any, len(fresh))
	for i, at := range fresh {
		ids[i] = batch[at].label.ID
	}
	now := date(time.Now().Add(w.ahead))
	first, last := batch[fresh[0]].label.ID, batch[fresh[len(fresh)-1]].label.ID
	after, rotated := h.next(w.spec.Hash(), len(fresh), last, w.opts.Window, now)
	drop, due, err := w.makeRoom(ctx, tx, &after)
	if err != nil {
		return err
	}
	kind := KindLearn
	if after.warming != nil {
		kind = KindWarmUp
	}
	commit := Commit{
		Version: after.version, Name: after.commit, Parent: h.commit, Kind: kind,
		Labels: len(fresh), First: first, Last: last, Count: after.count, Spec: after.spec, At: now,
	}
	entry := entryID(after.version, w.entry)
	_, err = tx.TxPipelined(ctx, func(pipe redis.Pipeliner) error {
		after.writeIDs(ctx, pipe, w.spec.Name, ids, rotated)
		after.write(ctx, pipe, w.spec.Name, w.state)
		if due {
			if err := after.snapshotted().queue(ctx, pipe, w.spec.Name, w.state, drop); err != nil {
				return err
			}
		}
		return errors.Join(
			commit.queue(ctx, pipe, w.spec.Name, entry, w.opts.LineageLength),
			queueLabels(ctx, pipe, w.spec.Name, entry, ids, w.opts.LineageLength),
		)
	})
	if err == nil || errors.Is(err, redis.TxFailedErr) {
		w.watching = false
	}
	if err != nil {
		doubt(batch, fresh, err)
		return err
	}
	w.at, w.entry = after.commit, entry
	return nil
}

// doubt marks the jobs of a transaction that was sent, perhaps, and not answered.
func doubt(batch []job, fresh []int, err error) {
	var reply redis.Error
	if errors.As(err, &reply) {
		return
	}
	for _, at := range fresh {
		batch[at].unsure = true
	}
}

// makeRoom reports whether a commit is to keep its state as a snapshot, which it
// dates in the head, and which snapshots that drops.
func (w *worker) makeRoom(ctx context.Context, tx *redis.Tx, after *head) (drop []string, due bool, err error) {
	now := after.committed
	if !after.snapshotDue(now, w.opts.SnapshotEvery) {
		return nil, false, nil
	}
	// It changes only with the head, which is watched.
	index, err := tx.HGetAll(ctx, snapshotsKey(w.spec.Name)).Result()
	if err != nil {
		return nil, false, keyError(w.spec.Name, err)
	}
	after.snapshot = now
	return dropped(index, after.version, w.opts.SnapshotCount, w.opts.SnapshotAge, now), true, nil
}

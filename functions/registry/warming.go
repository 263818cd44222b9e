package registry

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"
)

// Position is how far a log has been read: for each of its partitions, by the
// number, the offset of the next record. A partition beyond its length has not
// been begun.
type Position []int64

// left returns how many offsets there are from a position to another, at most:
// not every offset has a record.
func (p Position) left(end Position) int64 {
	var n int64
	for i, e := range end {
		at := int64(0)
		if i < len(p) {
			at = p[i]
		}
		n += max(0, e-at)
	}
	return n
}

// after reports whether a position is after an end, in a partition at least.
func (p Position) after(end Position) bool {
	for i, at := range p {
		if i >= len(end) || at > end[i] {
			return true
		}
	}
	return false
}

// warming is what the head says of a model that is being warmed up, which is
// taught from the log and not by those who learn live labels.
type warming struct {
	// Token is the replay's that teaches: one that takes over has its own.
	Token string `json:"token"`
	// Position is what has been replayed of the log. It changes in the transaction
	// that commits the labels before it.
	Position Position `json:"position,omitempty"`
	// JoiningMS, if it is not 0, is until when, by Redis's clock, live labels are
	// held back: the replay reads what has come to the log before it said so, and
	// then the model is live. Who comes later with a label sets it to 0, so that the
	// replay finds that it was too late.
	JoiningMS int64 `json:"joining_ms,omitempty"`
}

const (
	longestWarming = 1 << 20 // bytes
	longestToken   = 64      // bytes
)

// parseWarming reads what encode has written. What no replay writes is an error.
func parseWarming(text string) (*warming, error) {
	if len(text) > longestWarming {
		return nil, fmt.Errorf("it has %d bytes", len(text))
	}
	var w *warming
	if err := json.Unmarshal([]byte(text), &w); err != nil {
		return nil, err
	}
	switch {
	case w == nil || w.Token == "" || len(w.Token) > longestToken:
		return nil, errors.New("it has no token of a replay")
	case w.JoiningMS < 0 || w.JoiningMS > lastMillisecond:
		return nil, errors.New("joining_ms is no time")
	}
	for partition, offset := range w.Position {
		if offset < 0 {
			return nil, fmt.Errorf("partition %d has the offset %d", partition, offset)
		}
	}
	return w, nil
}

// encode returns it as the head has it.
func (w warming) encode() string {
	encoded, _ := json.Marshal(w) // of strings and numbers, which cannot fail
	return string(encoded)
}

// at returns what the head says when so much has been replayed.
func (w warming) at(p Position) *warming {
	w.Position = p
	return &w
}

// joining returns what the head says while live labels are held back until then.
func (w warming) joining(until time.Time) *warming {
	w.JoiningMS = until.UnixMilli()
	return &w
}

// isJoining reports whether live labels are to be held back, whatever the time.
func (w *warming) isJoining() bool { return w.JoiningMS != 0 }

// errJoining holds a live label back.
var errJoining = fmt.Errorf("%w: the model joins live traffic after it was warmed up", ErrBusy)

// leave returns the outcomes of labels that are left to a replay. They came from
// the log, and the replay goes on to where the log ends once it is joining: labels
// that are left to it before that are not missed. Those that come meanwhile are
// held back, unless the replay seems to be gone: then it has to join anew, and is
// told so by a write, for which its own transaction would have to be later.
func (w *worker) leave(ctx context.Context, tx *redis.Tx, h head, labels int) ([]Outcome, error) {
	if h.warming.isJoining() {
		now := date(time.Now().Add(w.ahead))
		if now.UnixMilli() < h.warming.JoiningMS {
			return nil, errJoining
		}
		alone := *h.warming
		alone.JoiningMS = 0
		if _, err := tx.TxPipelined(ctx, func(pipe redis.Pipeliner) error {
			alone.queue(ctx, pipe, w.spec.Name)
			return nil
		}); err != nil {
			return nil, err
		}
		w.watching = false
	}
	outcomes := make([]Outcome, labels)
	for i := range outcomes {
		outcomes[i] = Outcome{Model: w.spec.Name, Version: h.version, Warming: true}
	}
	return outcomes, nil
}

// queue writes it to a head, inside of a transaction.
func (w warming) queue(ctx context.Context, pipe redis.Pipeliner, model string) {
	pipe.HSet(ctx, headKey(model), fieldWarming, w.encode())
}

// amendment is a change of what the head of a model says of its warm-up.
type amendment struct {
	client redis.UniversalClient
	model  string
	// change returns what the head is to say by now: nil, that the model is live.
	change func(h head, now time.Time) (*warming, error)
	// action, if there is one, goes into the audit trail. It gets the version as
	// From, if that is not known, and To, and the time.
	action *Action
}

// make makes the change.
func (a amendment) make(ctx context.Context) (h head, err error) {
	err = again(ctx, "warm up model "+a.model, func() error {
		h, err = a.try(ctx)
		return err
	})
	return h, err
}

func (a amendment) try(ctx context.Context) (head, error) {
	var h head
	err := a.client.Watch(ctx, func(tx *redis.Tx) error {
		var headCmd *redis.SliceCmd
		var audit *redis.StatusCmd
		var clock *redis.TimeCmd
		if _, err := tx.Pipelined(ctx, func(pipe redis.Pipeliner) error {
			headCmd, clock, audit = readHead(ctx, pipe, a.model, false), pipe.Time(ctx), pipe.Type(ctx, auditKey(a.model))
			return nil
		}); err != nil {
			return keyError(a.model, err)
		}
		if err := notAStream(auditKey(a.model), audit); err != nil && a.action != nil {
			return err
		}
		var err error
		if h, err = parseHead(a.model, headCmd.Val()); err != nil {
			return err
		}
		if h.warming, err = a.change(h, clock.Val()); err != nil {
			return err
		}
		return a.exec(ctx, tx, h)
	}, headKey(a.model))
	return h, err
}

func (a amendment) exec(ctx context.Context, tx *redis.Tx, h head) error {
	var action Action // of this attempt: the next may find another version
	if a.action != nil {
		action = *a.action
		action.To = strconv.FormatUint(h.version, 10)
		action.From = cmp.Or(action.From, action.To)
	}
	var entry *redis.StringCmd
	_, err := tx.TxPipelined(ctx, func(pipe redis.Pipeliner) (err error) {
		if h.warming != nil {
			h.warming.queue(ctx, pipe, a.model)
		} else {
			pipe.HDel(ctx, headKey(a.model), fieldWarming)
		}
		if a.action == nil {
			return nil
		}
		entry, err = action.queue(ctx, pipe, auditKey(a.model))
		return err
	})
	if err == nil && entry != nil {
		action.At = entryTime(entry.Val())
		*a.action = action
	}
	return err
}

package trail

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"sync/atomic"
)

// ErrUnavailable is Kafka away, or not for us: errors.Is finds it in what looks
// return, whose text is one line on why.
var ErrUnavailable = errors.New("events cannot be read from Kafka")

// unavailable is why a look came to nothing. One that nobody waits for any more
// came to nothing for no fault of Kafka's.
func (t *Trail) unavailable(err error) error {
	if errors.Is(err, context.Canceled) {
		return err
	}
	unavailable := &unavailableError{reason: t.reason(err), err: err}
	t.outage.began(unavailable)
	return unavailable
}

func (t *Trail) reason(err error) string {
	var op *net.OpError
	switch {
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded):
		return fmt.Sprintf("no answer within %v", t.bounds.time)
	case errors.As(err, &op) && op.Op == "dial" && op.Addr != nil:
		return fmt.Sprintf("nobody listens at %s: %v", op.Addr, op.Err)
	}
	return err.Error()
}

type unavailableError struct {
	reason string
	err    error
}

func (e *unavailableError) Error() string   { return ErrUnavailable.Error() + ": " + e.reason }
func (e *unavailableError) Unwrap() []error { return []error{ErrUnavailable, e.err} }

// outage tells the log when Kafka goes away and when it is back, however often it
// is asked in between.
type outage struct {
	log  *slog.Logger
	away atomic.Bool
}

func (o *outage) began(err error) {
	if o.away.CompareAndSwap(false, true) {
		o.log.Warn("events cannot be read", "error", err)
	}
}

func (o *outage) over() {
	if o.away.CompareAndSwap(true, false) {
		o.log.Info("events can be read again")
	}
}

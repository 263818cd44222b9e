package manifest

import (
	"fmt"
	"time"

	"github.com/rickb777/date/period"
	eventingduckv1 "knative.dev/eventing/pkg/apis/duck/v1"
)

// What a KafkaSource does when its manifest has no delivery at all, and what
// fills the fields of one that has.
const (
	DefaultRetries = 10
	DefaultBackoff = 300 * time.Millisecond
	DefaultTimeout = 600 * time.Second
)

// Delivery is a DeliverySpec made ready for use.
type Delivery struct {
	Retries int           // after the first attempt
	Timeout time.Duration // of one attempt
	Backoff time.Duration
	Linear  bool
}

// ReadDelivery reads a DeliverySpec as Knative's KafkaSource does: no delivery
// means ten retries, a delivery without retry means none. The fields of its
// problems are those of the spec.
//
// Retry-After is not honoured: Knative makes it opt-in through retryAfterMax,
// and KafkaSource has not taken it up. Neither has it format.
func ReadDelivery(spec *eventingduckv1.DeliverySpec) (Delivery, []Problem) {
	d := Delivery{Timeout: DefaultTimeout, Backoff: DefaultBackoff}
	if spec == nil {
		d.Retries = DefaultRetries
		return d, nil
	}
	var problems []Problem
	fail := func(field, format string, args ...any) {
		problems = append(problems, problem(field, format, args...))
	}
	if spec.RetryAfterMax != nil {
		fail("retryAfterMax", "a KafkaSource does not honour Retry-After")
	}
	if spec.Format != nil {
		fail("format", "a KafkaSource delivers in binary mode whatever it says")
	}
	if spec.Retry != nil {
		if d.Retries = int(*spec.Retry); d.Retries < 0 {
			fail("retry", "%d is negative", d.Retries)
		}
	}
	if spec.BackoffPolicy != nil {
		switch *spec.BackoffPolicy {
		case eventingduckv1.BackoffPolicyExponential:
		case eventingduckv1.BackoffPolicyLinear:
			d.Linear = true
		default:
			fail("backoffPolicy", "%q is neither linear nor exponential", *spec.BackoffPolicy)
		}
	}
	var err error
	if spec.BackoffDelay != nil {
		if d.Backoff, err = isoDuration(*spec.BackoffDelay); err != nil {
			fail("backoffDelay", "%v", err)
		}
	}
	if spec.Timeout != nil {
		if d.Timeout, err = isoDuration(*spec.Timeout); err != nil {
			fail("timeout", "%v", err)
		} else if d.Timeout == 0 {
			fail("timeout", "a timeout of zero lets nothing through")
		}
	}
	return d, problems
}

// isoDuration parses an ISO 8601 duration such as PT0.3S.
func isoDuration(s string) (time.Duration, error) {
	p, err := period.Parse(s)
	if err != nil {
		return 0, fmt.Errorf("%q is not an ISO 8601 duration such as PT0.3S: %w", s, err)
	}
	d, _ := p.Duration()
	if d < 0 {
		return 0, fmt.Errorf("%q is negative", s)
	}
	return d, nil
}

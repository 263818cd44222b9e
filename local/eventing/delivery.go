package eventing

import (
	"fmt"
	"math"
	"net/http"
	"time"

	"github.com/rickb777/date/period"
	eventingduckv1 "knative.dev/eventing/pkg/apis/duck/v1"
)

// What a KafkaSource does when its manifest has no delivery at all, and what
// fills the fields of one that has.
const (
	defaultRetries = 10
	defaultBackoff = 300 * time.Millisecond
	defaultTimeout = 600 * time.Second
)

// delivery is a DeliverySpec made ready for use.
type delivery struct {
	retries int           // after the first attempt
	timeout time.Duration // of one attempt
	backoff time.Duration
	linear  bool
}

// newDelivery reads a DeliverySpec as Knative's KafkaSource does: no delivery
// means ten retries, a delivery without retry means none. The error names the
// field.
//
// Retry-After is not honoured: Knative makes it opt-in through retryAfterMax,
// and KafkaSource has not taken it up. Neither has it format.
func newDelivery(spec *eventingduckv1.DeliverySpec) (delivery, *fieldError) {
	d := delivery{timeout: defaultTimeout, backoff: defaultBackoff}
	if spec == nil {
		d.retries = defaultRetries
		return d, nil
	}
	if spec.RetryAfterMax != nil {
		return d, &fieldError{"retryAfterMax", "a KafkaSource does not honour Retry-After"}
	}
	if spec.Format != nil {
		return d, &fieldError{"format", "a KafkaSource delivers in binary mode whatever it says"}
	}
	if spec.Retry != nil {
		if d.retries = int(*spec.Retry); d.retries < 0 {
			return d, &fieldError{"retry", fmt.Sprintf("%d is negative", d.retries)}
		}
	}
	if spec.BackoffPolicy != nil {
		switch *spec.BackoffPolicy {
		case eventingduckv1.BackoffPolicyExponential:
		case eventingduckv1.BackoffPolicyLinear:
			d.linear = true
		default:
			return d, &fieldError{"backoffPolicy", fmt.Sprintf("%q is neither linear nor exponential", *spec.BackoffPolicy)}
		}
	}
	if spec.BackoffDelay != nil {
		delay, reason := isoDuration(*spec.BackoffDelay)
		if reason != "" {
			return d, &fieldError{"backoffDelay", reason}
		}
		d.backoff = delay
	}
	if spec.Timeout != nil {
		timeout, reason := isoDuration(*spec.Timeout)
		if reason == "" && timeout == 0 {
			reason = "a timeout of zero lets nothing through"
		}
		if reason != "" {
			return d, &fieldError{"timeout", reason}
		}
		d.timeout = timeout
	}
	return d, nil
}

// fieldError is what is wrong with a field, for the caller to say of which object.
type fieldError struct{ field, reason string }

// isoDuration parses an ISO 8601 duration such as PT0.3S.
func isoDuration(s string) (time.Duration, string) {
	p, err := period.Parse(s)
	if err != nil {
		return 0, fmt.Sprintf("%q is not an ISO 8601 duration such as PT0.3S: %v", s, err)
	}
	d, _ := p.Duration()
	if d < 0 {
		return 0, fmt.Sprintf("%q is negative", s)
	}
	return d, ""
}

// wait is the time before the n-th retry, counted from 1: n times the delay if
// linear, the delay doubled with each retry if exponential.
func (d delivery) wait(n int) time.Duration {
	factor := float64(n)
	if !d.linear {
		factor = math.Exp2(float64(n - 1))
	}
	if w := factor * float64(d.backoff); w < math.MaxInt64 {
		return time.Duration(w)
	}
	return math.MaxInt64
}

// retryable tells the responses that a later attempt may turn into a success
// from those that it will not.
// https://github.com/knative/specs/blob/main/specs/eventing/data-plane.md#event-acknowledgement-and-delivery-retry
func retryable(status int) bool {
	switch status {
	case http.StatusNotFound, // the service is being created
		http.StatusRequestTimeout, http.StatusConflict, http.StatusTooManyRequests:
		return true
	}
	return status >= 500
}

// delivered tells whether a response acknowledges the event.
func delivered(status int) bool { return status >= 200 && status < 300 }

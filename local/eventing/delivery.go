package eventing

import (
	"math"
	"net/http"
	"time"

	"tripcast.dev/infra/knative/manifest"
)

// delivery is how a KafkaSource delivers.
type delivery manifest.Delivery

// wait is the time before the n-th retry, counted from 1: n times the delay if
// linear, the delay doubled with each retry if exponential.
func (d delivery) wait(n int) time.Duration {
	factor := float64(n)
	if !d.Linear {
		factor = math.Exp2(float64(n - 1))
	}
	if w := factor * float64(d.Backoff); w < math.MaxInt64 {
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

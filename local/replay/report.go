package replay

import (
	"encoding/base64"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strings"

	"tripcast.dev/events"
)

// Report sums a replay up.
type Report struct {
	Played      map[string]int // records, by topic
	LeftOut     int
	Others      map[string]int // records left out because of their topic, by topic
	CameOut     map[string]int // events, by topic
	Retractions map[string]int // by topic
	DeadLetters map[string]int // by the topic's event type and the reason
	// Trips are those whose pick-up was played, or else that features were made of.
	// What came out of others is not missing.
	Trips, Unpredicted, Unlabelled int
	MAE                            map[string]float64 // seconds, by model, of each trip's first prediction
}

// NewReport sums up what was played and what came out.
func NewReport(played *Played, outcome *Outcome, retractions map[string]int) *Report {
	r := &Report{
		Played: played.Records, LeftOut: played.LeftOut, Others: played.Others,
		CameOut: map[string]int{}, Retractions: retractions, DeadLetters: map[string]int{},
	}
	predictions, labels := map[string]events.Prediction{}, map[string]events.Label{}
	trips := begun(played, outcome)
	r.Trips = len(trips)
	for _, e := range outcome.Events {
		r.CameOut[e.Topic]++
		switch {
		case e.Topic == events.TopicDeadLetters || e.Type() == TypeRefusal:
			r.DeadLetters[reason(e)]++
		case e.Type() == events.TypePrediction:
			if p, err := events.DecodePrediction(e.Event); err == nil {
				first(predictions, p.TripID, p)
			}
		case e.Type() == events.TypeLabel:
			if l, err := events.DecodeLabel(e.Event); err == nil {
				first(labels, l.TripID, l)
			}
		}
	}
	for trip := range trips {
		if _, ok := predictions[trip]; !ok {
			r.Unpredicted++
		}
		if _, ok := labels[trip]; !ok {
			r.Unlabelled++
		}
	}
	r.MAE = errorsOf(predictions, labels)
	return r
}

// begun are the trips that were played. In a stream of somebody's own it is for
// the SQL to say what they are: those that it has made features of.
func begun(played *Played, outcome *Outcome) map[string]bool {
	if played.Records[events.TopicPickUps] > 0 || played.Records[events.TopicFeatures] > 0 {
		return played.Trips
	}
	trips := map[string]bool{}
	for _, e := range outcome.Events {
		if e.Topic == events.TopicFeatures {
			trips[e.Subject()] = true
		}
	}
	return trips
}

func first[V any](of map[string]V, trip string, v V) {
	if _, ok := of[trip]; !ok {
		of[trip] = v
	}
}

// errorsOf is the mean absolute error of each model. Trips are added in order, so
// that the same outcome has the same error to the last bit.
func errorsOf(predictions map[string]events.Prediction, labels map[string]events.Label) map[string]float64 {
	sums, counts := map[string]float64{}, map[string]int{}
	for _, trip := range slices.Sorted(maps.Keys(labels)) {
		for model, p := range predictions[trip].Predictions {
			sums[model] += math.Abs(p.DurationS - labels[trip].DurationS)
			counts[model]++
		}
	}
	for model := range sums {
		sums[model] /= float64(counts[model])
	}
	return sums
}

// reason is why an event was not taken, as its function answered.
func reason(e Event) string {
	extension := func(name string) string {
		value, _ := e.Extensions()[name].(string)
		return value
	}
	if e.Type() == TypeRefusal {
		return strings.TrimSpace(extension("status") + " " + string(e.Data()))
	}
	said := extension(errorData)
	if answer, err := base64.StdEncoding.DecodeString(said); err == nil {
		said = string(answer)
	}
	return strings.Join(strings.Fields(e.Type()+" "+extension(errorCode)+" "+said), " ")
}

// mostReasons are told: each may name another trip.
const mostReasons = 20

// WriteText writes the report for people.
func (r *Report) WriteText(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "played     %s", counts(r.Played))
	if r.LeftOut > 0 {
		fmt.Fprintf(&b, "; %d records of the recording left out", r.LeftOut)
	}
	fmt.Fprintf(&b, "\ncame out   %s\n", counts(r.CameOut))
	if len(r.Retractions) > 0 {
		fmt.Fprintf(&b, "retracted  %s\n", counts(r.Retractions))
	}
	reasons := slices.Sorted(maps.Keys(r.DeadLetters))
	for _, why := range reasons[:min(len(reasons), mostReasons)] {
		fmt.Fprintf(&b, "not taken  %d: %s\n", r.DeadLetters[why], why)
	}
	if more := len(reasons) - mostReasons; more > 0 {
		fmt.Fprintf(&b, "not taken  for %d other reasons\n", more)
	}
	if r.Trips > 0 {
		fmt.Fprintf(&b, "trips      %d, of them %d without a prediction, %d without a label\n", r.Trips, r.Unpredicted, r.Unlabelled)
	}
	models := slices.Sorted(maps.Keys(r.MAE))
	width := 0
	for _, model := range models {
		width = max(width, len(model))
	}
	for _, model := range models {
		fmt.Fprintf(&b, "MAE        %-*s %.1f s\n", width, model, r.MAE[model])
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// counts lists topics in the order in which a trip meets them.
func counts(by map[string]int) string {
	if len(by) == 0 {
		return "nothing"
	}
	topics := slices.SortedFunc(maps.Keys(by), func(a, b string) int { return compareEvents(a, "", b, "") })
	for i, topic := range topics {
		topics[i] = fmt.Sprintf("%d %s", by[topic], topic)
	}
	return strings.Join(topics, ", ")
}

package main

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"time"

	"tripcast.dev/events"
)

// Report is what a run did: one JSON object.
type Report struct {
	Trips       int64              `json:"trips"`              // accepted: their pick-up was played
	Rejected    *int64             `json:"rejected,omitempty"` // rows of the file that are no trips; only who plays it knows
	PickUps     int64              `json:"pick_ups"`           // trips in the topic pick_ups
	DropOffs    int64              `json:"drop_offs"`          // trips in drop_offs
	Features    int64              `json:"features"`           // trips in features
	Predictions int64              `json:"predictions"`        // trips in predictions
	Labels      int64              `json:"labels"`             // trips in labels
	Learned     map[string]int64   `json:"learned"`            // labels that each model has learned, as Redis counts them
	Duplicates  int64              `json:"duplicates"`         // records about a trip that its topic already had, and labels delivered again
	DeadLetters int64              `json:"dead_letters"`
	MAE         map[string]float64 `json:"mae"`                   // seconds, each prediction against its own trip
	RMSE        map[string]float64 `json:"rmse"`                  // seconds
	Lag         Quantiles          `json:"lag_ms"`                // pick-up record written to prediction record written
	Staleness   Quantiles          `json:"staleness_ms,omitzero"` // label delivered to first prediction that knows it; only who delivers knows
	WallS       float64            `json:"wall_s"`
	TripsPerS   float64            `json:"trips_per_s"`
}

// Quantiles of a duration, in milliseconds.
type Quantiles struct {
	P50 float64 `json:"p50"`
	P99 float64 `json:"p99"`
}

// report sums up what the topics say: the trips are those that have begun there. learned is
// each model's count in the registry since the start.
func (t *tally) report(learned map[string]int64, wall time.Duration) Report {
	t.mu.Lock()
	defer t.mu.Unlock()
	r := Report{
		Trips: t.distinct[t.starts()], PickUps: t.distinct[events.TopicPickUps], DropOffs: t.distinct[events.TopicDropOffs],
		Features: t.distinct[events.TopicFeatures], Predictions: t.distinct[events.TopicPredictions],
		Labels: t.distinct[events.TopicLabels], DeadLetters: t.records[events.TopicDeadLetters],
		Learned: learned, Duplicates: t.redelivers,
		MAE: map[string]float64{}, RMSE: map[string]float64{},
		Lag: quantiles(t.lags), Staleness: quantiles(t.staleness.ms), WallS: wall.Seconds(),
	}
	for topic := range topicBits {
		r.Duplicates += t.records[topic] - t.distinct[topic]
	}
	for model, e := range t.models {
		r.MAE[model] = e.abs / float64(e.n)
		r.RMSE[model] = math.Sqrt(e.squared / float64(e.n))
	}
	if r.WallS > 0 {
		r.TripsPerS = float64(r.Labels) / r.WallS
	}
	return r
}

// missing says what has not arrived, one line a topic or model; nothing if so many
// trips, and all in the topics but so many others, have been predicted and
// learned, or are dead letters.
func (t *tally) missing(trips, others int64, learned map[string]int64) []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	var unpredicted, unlabelled, deadLabels int64
	starts := t.starts()
	for _, one := range t.trips {
		switch {
		case one.seen&topicBits[starts] == 0: // somebody else's, as of a curl
		case one.dead&seenFeatures != 0:
		case one.seen&seenPrediction == 0:
			unpredicted++
			unlabelled++
		case one.seen&seenLabel == 0:
			unlabelled++
		case one.dead&seenLabel != 0:
			deadLabels++
		}
	}
	var missing []string
	if n := trips - t.distinct[starts]; n > 0 {
		missing = append(missing, fmt.Sprintf("%d trips are not in %s", n, starts))
	}
	if n := unpredicted - others; n > 0 {
		missing = append(missing, fmt.Sprintf("%d trips have no prediction", n))
	}
	if n := unlabelled - others; n > 0 {
		missing = append(missing, fmt.Sprintf("%d trips have no label", n))
	}
	// Of the others some may have a label, that is on its way to learn.
	labelled := t.distinct[events.TopicLabels] - deadLabels
	labelled -= max(0, others-unlabelled)
	for model, n := range learned {
		if short := labelled - n; short > 0 {
			missing = append(missing, fmt.Sprintf("%s has not learned %d labels", model, short))
		}
	}
	if t.dropped > 0 {
		missing = append(missing, fmt.Sprintf("%d events were taken neither by their function nor by dead_letters", t.dropped))
	}
	return missing
}

// write puts the report where it was asked for; "-" is standard output.
func (r Report) write(to string, stdout io.Writer) error {
	encoded, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("encoding the report: %w", err)
	}
	encoded = append(encoded, '\n')
	switch to {
	case "":
		return nil
	case "-":
		_, err = stdout.Write(encoded)
	default:
		err = os.WriteFile(to, encoded, 0o644)
	}
	if err != nil {
		return fmt.Errorf("writing the report: %w", err)
	}
	return nil
}

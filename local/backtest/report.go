package backtest

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"tripcast.dev/functions/online/evaluate"
)

// Report is how models did. Errors are in seconds.
type Report struct {
	// Origin is what Run cannot know; who writes the report fills it in.
	Origin Origin `json:"origin"`

	Trips       int            `json:"trips"`          // that the models were asked
	Left        map[string]int `json:"left,omitempty"` // those that they were not, by reason
	From        time.Time      `json:"from"`           // the first pick-up
	To          time.Time      `json:"to"`             // the last drop-off
	PeriodS     Number         `json:"period_s"`       // of Model.Over
	Champion    string         `json:"champion"`
	Models      []Model        `json:"models"` // the best first
	Comparisons []*Comparison  `json:"comparisons,omitempty"`

	// Timing is all that differs between two runs.
	Timing Timing `json:"timing"`

	labels    []float64 // of the samples
	order     []int     // of their answers
	divisions divisions
}

// Origin says where a report comes from.
type Origin struct {
	Trips     string `json:"trips"`             // the file, or which synthetic ones
	Models    string `json:"models"`            // the catalogue
	Catalogue string `json:"catalogue_sha256"`  // of its canonical form
	Command   string `json:"command"`           // that makes the same report again
	Warning   string `json:"warning,omitempty"` // such as that the recording is cut short
}

// Model is how one model did.
type Model struct {
	Name       string `json:"name"`
	Spec       string `json:"spec,omitempty"` // its hash; who writes the report fills it in
	Count      int    `json:"count"`          // predictions judged
	Unanswered int    `json:"unanswered"`     // questions without an answer that could be judged

	MAE   Number `json:"mae"`
	RMSE  Number `json:"rmse"`
	RMSLE Number `json:"rmsle"`
	R2    Number `json:"r2"`
	Bias  Number `json:"bias"` // mean of prediction less label

	StateBytes  int    `json:"state_bytes"`
	StateSHA256 string `json:"state_sha256"` // of its encoding at the end

	Over     []Interval `json:"over"` // by when the trips started
	Segments Segments   `json:"segments"`

	// Error is why it was not asked to the end.
	Error string `json:"error,omitempty"`

	predicted []float64 // by the number of the sample, NaN where there is no answer
}

// Timing is how long it took. The mean times of one call are with the clock's own.
type Timing struct {
	Workers int                    `json:"workers"`
	ReadS   Number                 `json:"read_s"` // until the features were computed; who has read the trips fills it in
	AskS    Number                 `json:"ask_s"`
	Models  map[string]ModelTiming `json:"models"`
}

// ModelTiming is how long a call of a model took on average.
type ModelTiming struct {
	PredictUS Number `json:"predict_us"`
	LearnUS   Number `json:"learn_us"`
}

// Number is null in JSON where it is not finite.
type Number float64

func (n Number) finite() bool { return !math.IsNaN(float64(n)) && !math.IsInf(float64(n), 0) }

// MarshalJSON writes the shortest text that gives the same number again.
func (n Number) MarshalJSON() ([]byte, error) {
	if !n.finite() {
		return []byte("null"), nil
	}
	return json.Marshal(float64(n))
}

func newReport(trips *Trips, champion string, period time.Duration) (*Report, error) {
	order, err := answerOrder(trips.Samples)
	if err != nil {
		return nil, err
	}
	r := &Report{
		Trips: len(trips.Samples), Left: trips.Left, PeriodS: Number(period.Seconds()), Champion: champion,
		From: trips.Samples[0].At.UTC(), order: order, divisions: divide(trips, period),
	}
	r.To = trips.Samples[order[len(order)-1]].LabelAt.UTC()
	for _, s := range trips.Samples {
		r.labels = append(r.labels, s.Y)
	}
	return r, nil
}

func (r *Report) judge(trips *Trips, result evaluate.Result, predicted []float64) Model {
	m := Model{
		Name: result.Name, Count: result.Count, Unanswered: result.Unanswered, StateBytes: result.StateBytes,
		MAE: Number(result.MAE), RMSE: Number(result.RMSE), RMSLE: Number(result.RMSLE), R2: Number(result.R2), Bias: Number(result.Bias),
		predicted: predicted,
	}
	if result.Err != nil {
		m.Error = result.Err.Error()
	}
	score := func(d division) []Segment { return d.score(r.order, r.labels, predicted) }
	for _, s := range score(r.divisions.period) {
		m.Over = append(m.Over, Interval{Start: r.divisions.starts[s.index], Scores: s.Scores})
	}
	m.Segments = Segments{Hour: score(r.divisions.hour), Day: score(r.divisions.day), FromKM: score(r.divisions.distance)}
	return m
}

func newTiming(results []evaluate.Result, workers int, asked time.Duration) Timing {
	t := Timing{Workers: workers, AskS: Number(asked.Seconds()), Models: make(map[string]ModelTiming, len(results))}
	for _, r := range results {
		t.Models[r.Name] = ModelTiming{PredictUS: micro(r.Predict), LearnUS: micro(r.Learn)}
	}
	return t
}

func micro(d time.Duration) Number { return Number(float64(d) / float64(time.Microsecond)) }

// find returns the named model.
func (r *Report) find(name string) (*Model, error) {
	names := make([]string, len(r.Models))
	for i := range r.Models {
		if r.Models[i].Name == name {
			return &r.Models[i], nil
		}
		names[i] = r.Models[i].Name
	}
	return nil, fmt.Errorf("backtest: there is no model %q: the models are %s", name, strings.Join(names, ", "))
}

// LeftOut is one line of what is no sample and why, the most frequent reason
// first, or empty.
func (r *Report) LeftOut() string {
	reasons := slices.SortedFunc(maps.Keys(r.Left), func(a, b string) int {
		return cmp.Or(cmp.Compare(r.Left[b], r.Left[a]), cmp.Compare(a, b))
	})
	total, parts := 0, make([]string, len(reasons))
	for i, reason := range reasons {
		total += r.Left[reason]
		parts[i] = fmt.Sprintf("%d × %s", r.Left[reason], reason)
	}
	if total == 0 {
		return ""
	}
	return fmt.Sprintf("%d trips left out: %s", total, strings.Join(parts, "; "))
}

// WriteJSON writes the report for scripts.
func (r *Report) WriteJSON(w io.Writer) error {
	out := json.NewEncoder(w)
	out.SetEscapeHTML(false)
	out.SetIndent("", "  ")
	return out.Encode(r)
}

// WriteTable writes the report for people, as `models evaluate` does.
func (r *Report) WriteTable(w io.Writer) error {
	longest := len("MODEL")
	for _, m := range r.Models {
		longest = max(longest, len(m.Name))
	}
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(table, "%-*s\tMAE\tRMSE\tRMSLE\tR2\tBIAS\tCOUNT\tUNANSWERED\tPREDICT\tLEARN\tBYTES\t\n", longest, "MODEL")
	for _, m := range r.Models {
		took := r.Timing.Models[m.Name]
		fmt.Fprintf(table, "%-*s\t%s\t%s\t%s\t%s\t%s\t%d\t%d\t%.2f us\t%.2f us\t%d\t%s\n",
			longest, m.Name, figure(m.MAE, 2), figure(m.RMSE, 1), figure(m.RMSLE, 4), figure(m.R2, 4), figure(m.Bias, 2),
			m.Count, m.Unanswered, took.PredictUS, took.LearnUS, m.StateBytes, r.remark(m))
	}
	if err := table.Flush(); err != nil {
		return err
	}
	for _, c := range r.Comparisons {
		if _, err := fmt.Fprintf(w, "\n%s\n", c.Verdict); err != nil {
			return err
		}
	}
	return nil
}

func (r *Report) remark(m Model) string {
	switch {
	case m.Error != "":
		return "  STOPPED"
	case m.Name == r.Champion:
		return "  champion"
	}
	return ""
}

// figure has so many decimals, but no more digits than one can read.
func figure(v Number, decimals int) string {
	if math.Abs(float64(v)) >= 1e7 {
		return fmt.Sprintf("%.3g", float64(v))
	}
	return fmt.Sprintf("%.*f", decimals, float64(v))
}

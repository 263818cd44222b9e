package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"tripcast.dev/functions/online"
	"tripcast.dev/functions/online/evaluate"
	"tripcast.dev/functions/online/kinds"
)

// judge is the command evaluate. Results until an error are printed before it
// is returned.
func judge(ctx context.Context, c console, args []string) error {
	flags := newFlags("evaluate")
	file := flags.String("samples", "", "")
	list := flags.String("models", "infra/models.yaml", "")
	only := flags.String("only", "", "")
	asJSON := flags.Bool("json", false, "")
	if err := parse(flags, args); err != nil {
		return err
	}
	switch {
	case flags.NArg() > 0:
		return usageError{fmt.Errorf("evaluate does not want %q", flags.Arg(0))}
	case *file == "":
		return usageError{errors.New("evaluate wants --samples FILE, which `go run ./local --samples FILE` writes")}
	}
	catalogue, err := readCatalogue(*list)
	if err != nil {
		return err
	}
	models, err := pick(catalogue, *only)
	if err != nil {
		return err
	}
	samples, err := evaluate.Open(*file)
	if err != nil {
		return err
	}
	defer samples.Close()
	progress := progressOn(c.stderr)
	results, err := evaluate.Progressive(ctx, samples.Features(), samples.Samples(ctx), models, evaluate.Options{Progress: func(asked int, at time.Time) {
		progress.now("%d samples, %s", asked, at.UTC().Format(time.DateTime))
	}})
	progress.clear()
	if results == nil {
		return err
	}
	results = evaluate.Best(results)
	errs := []error{err}
	for _, r := range results {
		errs = append(errs, r.Err)
	}
	show := showTable
	if *asJSON {
		show = showJSON
	}
	return errors.Join(append(errs, show(c.stdout, results))...)
}

func readCatalogue(file string) (*online.Catalogue, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	catalogue, err := online.ParseCatalogue(data, kinds.All())
	if err != nil {
		return nil, fmt.Errorf("%s:\n%w", file, err)
	}
	return catalogue, nil
}

// pick builds the models of the catalogue, or those of them that only names.
func pick(catalogue *online.Catalogue, only string) ([]evaluate.Model, error) {
	var wanted []string
	if only != "" {
		wanted = strings.Split(only, ",")
	}
	for _, name := range wanted {
		if _, ok := catalogue.Find(name); !ok {
			var known []string
			for _, spec := range catalogue.Models {
				known = append(known, spec.Name)
			}
			return nil, usageError{fmt.Errorf("--only: there is no model %q: the models are %s", name, strings.Join(known, ", "))}
		}
	}
	models, err := evaluate.Models(catalogue)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(models, func(m evaluate.Model) bool {
		return len(wanted) > 0 && !slices.Contains(wanted, m.Name)
	}), nil
}

func showTable(stdout io.Writer, results []evaluate.Result) error {
	longest := len("MODEL")
	for _, r := range results {
		longest = max(longest, len(r.Name))
	}
	w := tabwriter.NewWriter(stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(w, "%-*s\t", longest, "MODEL")
	fmt.Fprintln(w, "MAE\tRMSE\tRMSLE\tR2\tBIAS\tCOUNT\tUNANSWERED\tPREDICT\tLEARN\tBYTES\t")
	for _, r := range results {
		mark := ""
		if r.Err != nil {
			mark = "  STOPPED"
		}
		fmt.Fprintf(w, "%-*s\t%s\t%s\t%s\t%s\t%s\t%d\t%d\t%s\t%s\t%d\t%s\n",
			longest, r.Name, figure(r.MAE, 2), figure(r.RMSE, 1), figure(r.RMSLE, 4), figure(r.R2, 4), figure(r.Bias, 2),
			r.Count, r.Unanswered, micro(r.Predict), micro(r.Learn), r.StateBytes, mark)
	}
	return w.Flush()
}

// figure has so many decimals, but no more digits than one can read.
func figure(v float64, decimals int) string {
	if math.Abs(v) >= 1e7 {
		return fmt.Sprintf("%.3g", v)
	}
	return fmt.Sprintf("%.*f", decimals, v)
}

func micro(d time.Duration) string {
	return fmt.Sprintf("%.2f us", float64(d)/float64(time.Microsecond))
}

// judged is a result as JSON, in which a number that is not finite is null.
type judged struct {
	Name       string      `json:"name"`
	Count      int         `json:"count"`
	Unanswered int         `json:"unanswered"`
	MAE        number      `json:"mae"`
	RMSE       number      `json:"rmse"`
	RMSLE      number      `json:"rmsle"`
	R2         number      `json:"r2"`
	Bias       number      `json:"bias"`
	PredictUS  number      `json:"predict_us"`
	LearnUS    number      `json:"learn_us"`
	StateBytes int         `json:"state_bytes"`
	Days       []judgedDay `json:"days"`
	Error      string      `json:"error,omitempty"`
}

type judgedDay struct {
	Day   string `json:"day"`
	Count int    `json:"count"`
	MAE   number `json:"mae"`
}

type number float64

func (n number) MarshalJSON() ([]byte, error) {
	if math.IsNaN(float64(n)) || math.IsInf(float64(n), 0) {
		return []byte("null"), nil
	}
	return json.Marshal(float64(n))
}

func showJSON(stdout io.Writer, results []evaluate.Result) error {
	all := make([]judged, len(results))
	for i, r := range results {
		all[i] = judged{
			Name: r.Name, Count: r.Count, Unanswered: r.Unanswered,
			MAE: number(r.MAE), RMSE: number(r.RMSE), RMSLE: number(r.RMSLE), R2: number(r.R2), Bias: number(r.Bias),
			PredictUS: number(r.Predict.Seconds() * 1e6), LearnUS: number(r.Learn.Seconds() * 1e6),
			StateBytes: r.StateBytes, Days: []judgedDay{},
		}
		for _, d := range r.Over {
			all[i].Days = append(all[i].Days, judgedDay{d.Start.Format(time.DateOnly), d.Count, number(d.MAE)})
		}
		if r.Err != nil {
			all[i].Error = r.Err.Error()
		}
	}
	return writeJSON(stdout, all)
}

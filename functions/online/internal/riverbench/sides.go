package main

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"
)

// sameMAE is how much the two may differ, relatively: last bits that the linear
// model, which diverges, makes the most of.
const sameMAE = 1e-6

// table has a row for each model.
func (s *sides) table() *comparison {
	river := "River " + s.version
	table := &comparison{
		heading: []string{"model", "trips", "MAE of " + river, "MAE of tripcast", "difference", river + " s", "tripcast s", "ours is"},
		texts:   []int{7},
	}
	ours, one := s.median(), 0.0
	for _, m := range ours.report.Models {
		their, alone := s.theirs[m.Name], s.alone[m.Name].Seconds()
		one += their.Seconds
		mae := number(m.MAE)
		table.rows = append(table.rows, []string{
			m.Name, fmt.Sprint(m.Count), fmt.Sprintf("%.8g", their.MAE), fmt.Sprintf("%.8g", mae),
			fmt.Sprintf("%+.1g", mae/their.MAE-1), digits(their.Seconds), digits(alone), times(their.Seconds/alone, "faster", "slower"),
		})
	}
	timing := ours.report.Timing
	table.notes = []string{
		fmt.Sprintf("Of each model: the seconds of judging it alone on one core, the rows in memory, each label learned at its drop-off: evaluate.progressive_val_score there, package evaluate here. River's three take %s s one after another.", digits(one)),
		fmt.Sprintf("All %d models, from start to exit: tripcast %s (%s of processors), River %s (%s): ours is %s.", len(ours.report.Models),
			seconds(ours.wall), seconds(ours.cpu), seconds(s.whole.wall), seconds(s.whole.cpu), times(s.whole.wall.Seconds()/ours.wall.Seconds(), "faster", "slower")),
		fmt.Sprintf("The first is `tripcast backtest`, from the file of trips to the report: %s s to read them and compute the features by sql/, %s s to judge, %d models at once, and the rest to write files, those features among them%s.",
			digits(timing.ReadS), digits(timing.AskS), min(timing.Workers, len(ours.report.Models)), s.spread()),
		fmt.Sprintf("River is given those features: it imports, reads them and judges, a process for each model, %d at once, each on one thread.", s.atOnce),
	}
	return table
}

// median is the run in the middle, the faster of two.
func (s *sides) median() ourRun {
	return s.sorted()[(len(s.ours)-1)/2]
}

func (s *sides) sorted() []ourRun {
	return slices.SortedFunc(slices.Values(s.ours), func(a, b ourRun) int { return cmp.Compare(a.wall, b.wall) })
}

// spread says how the runs differ, if there are several.
func (s *sides) spread() string {
	if len(s.ours) < 2 {
		return ""
	}
	sorted := s.sorted()
	return fmt.Sprintf("; the median of %d runs of %s to %s", len(sorted), seconds(sorted[0].wall), seconds(sorted[len(sorted)-1].wall))
}

// check is an error where the two do not say the same of the same trips.
func (s *sides) check() error {
	var errs []error
	catalogue, err := demoCatalogue()
	if err != nil {
		return err
	}
	for _, spec := range catalogue.Models {
		errs = append(errs, s.checkModel(spec.Name))
	}
	return errors.Join(errs...)
}

func (s *sides) checkModel(name string) error {
	their, ok := s.theirs[name]
	if !ok || their.Count == 0 {
		return fmt.Errorf("%s: nothing is judged by River", name)
	}
	for _, m := range s.median().report.Models {
		if m.Name != name {
			continue
		}
		ours := number(m.MAE)
		if m.Count != their.Count {
			return fmt.Errorf("%s: %d trips are judged, River judges %d", name, m.Count, their.Count)
		}
		if off := math.Abs(ours/their.MAE - 1); !(off <= sameMAE) { // NaN is off as well
			return fmt.Errorf("%s: MAE %.10g, River's is %.10g, %.2g off where %g is allowed", name, ours, their.MAE, off, sameMAE)
		}
		return nil
	}
	return fmt.Errorf("the report of tripcast backtest has no %s", name)
}

func number(v *float64) float64 {
	if v == nil {
		return math.NaN()
	}
	return *v
}

func seconds(d time.Duration) string { return digits(d.Seconds()) + " s" }

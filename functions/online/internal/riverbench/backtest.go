package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"iter"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"time"

	"tripcast.dev/functions/online"
	"tripcast.dev/functions/online/evaluate"
	"tripcast.dev/functions/online/kinds"
)

// backtestReport is what counts here of what `tripcast backtest --json` writes.
type backtestReport struct {
	Trips  int `json:"trips"`
	Models []struct {
		Name  string   `json:"name"`
		Count int      `json:"count"`
		MAE   *float64 `json:"mae"` // null if nothing was judged
	} `json:"models"`
	Timing struct {
		Workers int     `json:"workers"`
		ReadS   float64 `json:"read_s"` // the trips, and their features by sql/
		AskS    float64 `json:"ask_s"`  // the judging, all models at once
	} `json:"timing"`
}

// took is how long something took, and how much of the processors.
type took struct{ wall, cpu time.Duration }

// ourRun is one of `tripcast backtest`.
type ourRun struct {
	took
	report backtestReport
}

// sides are the two that were run on the same trips.
type sides struct {
	version string

	ours  []ourRun                 // of which all but the times is the same
	alone map[string]time.Duration // our judging of one model, on one core

	theirs map[string]judged
	whole  took // all of River's processes
	atOnce int
}

// backtest is the command of that name.
func (b bench) backtest(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("backtest", flag.ContinueOnError)
	flags.SetOutput(b.stderr)
	tripcast := flags.String("tripcast", "", "the `binary` of ./local")
	trips := flags.String("trips", "", "`file` of trips, as `tripcast backtest --trips` takes it")
	runs := flags.Int("runs", 1, "run ours so many times, of which the median counts")
	markdown := flags.String("markdown", "", "write the table to this `file` as well, in Markdown")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *tripcast == "" || *trips == "" || *runs < 1 {
		return errors.New("backtest wants --tripcast BINARY and --trips FILE, and one run at least")
	}
	load := busy()
	s, err := b.runSides(ctx, *tripcast, *trips, *runs)
	if err != nil {
		return err
	}
	table := s.table()
	table.notes = append(table.notes, load...)
	if *markdown != "" {
		if err := os.WriteFile(*markdown, []byte(table.markdown()), 0o644); err != nil {
			return err
		}
	}
	return errors.Join(table.print(b.stdout), s.check())
}

// runSides runs ours, and then River on the rows that ours has written: never both
// at once.
func (b bench) runSides(ctx context.Context, tripcast, trips string, runs int) (*sides, error) {
	python, err := b.envs.python(ctx, demoRiver)
	if err != nil {
		return nil, err
	}
	folder, err := os.MkdirTemp("", "riverbench-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(folder)
	s := &sides{version: demoRiver, atOnce: runtime.NumCPU()}
	samples := filepath.Join(folder, "samples.csv")
	for range runs {
		if err := b.runOurs(ctx, s, folder, tripcast, trips, samples); err != nil {
			return nil, err
		}
	}
	if err := s.timeAlone(ctx, samples, b.again); err != nil {
		return nil, err
	}
	return s, b.runTheirs(ctx, s, python, samples)
}

// runOurs runs `tripcast backtest` once.
func (b bench) runOurs(ctx context.Context, s *sides, folder, tripcast, trips, samples string) error {
	models, report := filepath.Join(folder, "models.yaml"), filepath.Join(folder, "report.json")
	if err := os.WriteFile(models, demo, 0o644); err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, tripcast, "backtest", "--trips", trips, "--models", models, "--samples", samples, "--json", report)
	cmd.Stdout, cmd.Stderr = b.stderr, b.stderr // its own report is not asked for
	start := time.Now()
	err := cmd.Run()
	wall := time.Since(start)
	if err != nil {
		return fmt.Errorf("%s backtest: %w", tripcast, err)
	}
	data, err := os.ReadFile(report)
	if err != nil {
		return err
	}
	run := ourRun{took: took{wall, cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()}}
	if err := json.Unmarshal(data, &run.report); err != nil {
		return fmt.Errorf("the report of %s backtest: %w", tripcast, err)
	}
	s.ours = append(s.ours, run)
	return nil
}

// timeAlone judges each model by itself on one core, with the rows in memory: what
// prequential.py times of River.
func (s *sides) timeAlone(ctx context.Context, file string, again time.Duration) error {
	in, err := evaluate.Open(file)
	if err != nil {
		return err
	}
	defer in.Close()
	var rows []evaluate.Sample
	for row, err := range in.Samples(ctx) {
		if err != nil {
			return err
		}
		rows = append(rows, row)
	}
	catalogue, err := demoCatalogue()
	if err != nil {
		return err
	}
	s.alone = map[string]time.Duration{}
	for _, spec := range catalogue.Models {
		if s.alone[spec.Name], err = timeJudging(ctx, in.Features(), rows, spec, again); err != nil {
			return err
		}
	}
	return nil
}

// timeJudging is the median of the runs that are begun within a time, one at least.
func timeJudging(ctx context.Context, names []string, rows []evaluate.Sample, spec online.Spec, within time.Duration) (time.Duration, error) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	var runs []time.Duration
	runtime.GC()
	for begun := time.Now(); len(runs) == 0 || time.Since(begun) < within; {
		pipeline, err := spec.New()
		if err != nil {
			return 0, err
		}
		model := evaluate.Model{Name: spec.Name, Pipeline: pipeline}
		start := time.Now()
		results, err := evaluate.Progressive(ctx, names, each(rows), []evaluate.Model{model}, evaluate.Options{})
		runs = append(runs, time.Since(start))
		if err != nil {
			return 0, err
		}
		if results[0].Err != nil {
			return 0, results[0].Err
		}
	}
	slices.Sort(runs)
	return runs[(len(runs)-1)/2], nil
}

func demoCatalogue() (*online.Catalogue, error) { return online.ParseCatalogue(demo, kinds.All()) }

func each(rows []evaluate.Sample) iter.Seq2[evaluate.Sample, error] {
	return func(yield func(evaluate.Sample, error) bool) {
		for _, row := range rows {
			if !yield(row, nil) {
				return
			}
		}
	}
}

// runTheirs runs prequential.py for each model in a process of its own, as many at
// once as there are cores. The last of the catalogue takes the longest, so it
// comes first: then River is done the soonest.
func (b bench) runTheirs(ctx context.Context, s *sides, python, samples string) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	catalogue, err := demoCatalogue()
	if err != nil {
		return err
	}
	var (
		done  sync.WaitGroup
		mu    sync.Mutex
		cores = make(chan struct{}, s.atOnce)
	)
	s.theirs = map[string]judged{}
	start := time.Now()
	for _, spec := range slices.Backward(catalogue.Models) {
		cores <- struct{}{}
		done.Go(func() {
			defer func() { <-cores }()
			found, cpu, err := b.progressive(ctx, s.version, python, samples, spec.Name)
			mu.Lock()
			defer mu.Unlock()
			s.theirs[spec.Name] = found[spec.Name]
			s.whole.cpu += cpu
			if err != nil {
				stop(err) // the others too: it is the first that counts
			}
		})
	}
	done.Wait()
	s.whole.wall = time.Since(start)
	return context.Cause(ctx)
}

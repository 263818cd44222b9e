package main

import (
	"math"
	"path/filepath"
	"slices"
	"strconv"
	"testing"

	"tripcast.dev/functions/online/evaluate"
	"tripcast.dev/functions/simulate"
	"tripcast.dev/local/backtest"
	"tripcast.dev/local/broker"
	"tripcast.dev/sql"
)

// What a backtest makes of trips are, to the last bit, the samples that the
// running system writes of them.
func TestBacktestReadsWhatTheSystemSaw(t *testing.T) {
	const trips, seed = 1500, 5
	b, err := broker.Start(broker.Options{Listen: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	file := filepath.Join(t.TempDir(), "samples.csv.gz")
	code, _, log := start(t.Context(), t, "--kafka", b.Addr(), "--seed", strconv.Itoa(seed), "--limit", strconv.Itoa(trips), "--speed", "0", "--exit-when-done", "--samples", file)
	if code != exitOK {
		t.Fatalf("exit code %d\n%s", code, log)
	}
	saved, err := evaluate.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer saved.Close()

	source, err := simulate.OpenSource(simulate.TripsSynthetic, simulate.SyntheticConfig{Seed: seed})
	if err != nil {
		t.Fatal(err)
	}
	statements, err := sql.Load(sql.Files(), sql.Defaults())
	if err != nil {
		t.Fatal(err)
	}
	got, err := backtest.Read(t.Context(), statements, backtest.Records(t.Context(), source, trips))
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(got.Names, saved.Features()) || len(got.Left) > 0 || len(got.Samples) != trips {
		t.Fatalf("%d samples of %v, left %v; the system has %v", len(got.Samples), got.Names, got.Left, saved.Features())
	}
	n := 0
	for want, err := range saved.Samples(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		s := got.Samples[n]
		sameX := slices.EqualFunc(s.X, want.X, func(a, b float64) bool { return math.Float64bits(a) == math.Float64bits(b) })
		if s.ID != want.ID || !s.At.Equal(want.At) || !s.LabelAt.Equal(want.LabelAt) || s.Y != want.Y || !sameX {
			t.Fatalf("sample %d is %+v, the system's %+v", n, s, want)
		}
		n++
	}
	if n != trips {
		t.Errorf("the system has %d samples of %d trips", n, trips)
	}
	speed := slices.Index(got.Names, "recent_speed")
	if !slices.ContainsFunc(got.Samples, func(s evaluate.Sample) bool { return s.X[speed] > 0 }) {
		t.Error("no trip has a recent speed: the trips do not test much")
	}
}

package stream

import (
	"flag"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	tripsql "tripcast.dev/sql"
)

var history = flag.Int("stream.history", 0, "measure what a tick costs after up to so many `trips`: see TestTickCost")

// tickCost is what a tick of 100 trips cost at one point of a long run.
type tickCost struct {
	past, live int
	cpu, wall  time.Duration
	memory     uint64
}

// TestTickCost measures what a tick costs that has the same number of new trips,
// after more and more trips: with a retention that keeps the last 10,800, and with
// one that keeps all. A trip starts every second, by the clock and by the city's.
// It takes minutes, and runs only if asked:
//
//	go test -run TestTickCost ./local/stream -stream.history 1000000
func TestTickCost(t *testing.T) {
	if *history == 0 {
		t.Skip("NOT MEASURED: -stream.history says after how many trips")
	}
	var table strings.Builder
	fmt.Fprintf(&table, "| retention | trips so far | trips kept | CPU a tick | wall a tick | memory |\n|---|---|---|---|---|---|\n")
	for _, retention := range []string{"3 hours", "30 days"} {
		for _, c := range tickCosts(t, retention, *history) {
			fmt.Fprintf(&table, "| %s | %d | %d | %.1f ms | %.1f ms | %d MB |\n", retention, c.past, c.live,
				c.cpu.Seconds()*1000, c.wall.Seconds()*1000, c.memory>>20)
		}
	}
	t.Log("\n" + table.String())
	if *update {
		writeTable(t, filepath.Join("..", "..", "docs", "bench-stream.md"), table.String())
	}
}

const perTick = 100 // trips that start, are predicted and end

func tickCosts(t *testing.T, retention string, trips int) []tickCost {
	variables := maps.Clone(tripsql.Defaults())
	variables[tripsql.VariableTripRetention] = retention
	statements, err := tripsql.Load(tripsql.Files(), variables)
	if err != nil {
		t.Fatal(err)
	}
	e, err := newEngine(t.Context(), statements, slog.Default())
	if err != nil {
		t.Fatal(err)
	}
	defer e.close()
	l := &load{tb: t, engine: e, now: time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC), rate: 1, step: perTick * time.Second}
	var costs []tickCost
	sunk := 0
	advance := func(n int) (cpu, wall time.Duration) {
		for range n {
			in := l.tick(perTick, 1_000)
			c, w := processTime(t), time.Now()
			d, err := e.advance(t.Context(), l.now, in)
			if err != nil {
				t.Fatal(err)
			}
			cpu, wall = cpu+processTime(t)-c, wall+time.Since(w)
			sunk += len(d["features"].added) + len(d["labels"].added)
		}
		return cpu, wall
	}
	for past := 10_000; past <= trips; past *= 10 {
		advance((past - l.started) / perTick)
		const ticks = 100
		live := e.byName["pick_ups"].out.count
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		cpu, wall := advance(ticks)
		costs = append(costs, tickCost{past: past, live: live, cpu: cpu / ticks, wall: wall / ticks, memory: m.HeapAlloc})
	}
	if want := l.started + l.ended; sunk != want {
		t.Errorf("%d rows were sunk for %d trips that started and %d that ended, want %d", sunk, l.started, l.ended, want)
	}
	return costs
}

// processTime is the CPU time of the process so far.
func processTime(t *testing.T) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// writeTable puts a table between the marks of a document.
func writeTable(t *testing.T, file, table string) {
	t.Helper()
	const begin, end = "<!-- tick cost -->\n", "<!-- end -->"
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok1 := strings.Cut(string(text), begin)
	_, after, ok2 := strings.Cut(rest, end)
	if !ok1 || !ok2 {
		t.Fatalf("%s has no place for the table: %q and %q", file, begin, end)
	}
	if err := os.WriteFile(file, []byte(before+begin+table+end+after), 0o644); err != nil {
		t.Fatal(err)
	}
}

package main

import (
	"fmt"
	"io"
	"runtime"
	"time"

	"tripcast.dev/functions/registry"
)

// showModels says what the functions had to load.
func showModels(w io.Writer, store string, models []registry.Info) {
	bytes := 0
	fmt.Fprintf(w, "models in %s:\n\n| model | labels | state |\n|---|--:|--:|\n", store)
	for _, m := range models {
		fmt.Fprintf(w, "| %s | %d | %d B |\n", m.Name, m.Count, m.StateBytes)
		bytes += m.StateBytes
	}
	fmt.Fprintf(w, "| all | | %d B |\n\n", bytes)
}

// showResults writes the table of the README.
func showResults(w io.Writer, o options, results []result) {
	fmt.Fprintf(w, "%s/%s, %d CPUs, %d starts of each:\n\n", runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), o.runs)
	fmt.Fprintf(w, "| | binary | start to first answer, min / p50 / max | memory after it | after %v idle | after %d requests | and %v idle | peak |\n", o.idle, o.requests, o.idle)
	fmt.Fprintln(w, "|---|--:|--:|--:|--:|--:|--:|--:|")
	for _, r := range results {
		n := len(r.starts)
		fmt.Fprintf(w, "| %s | %s | %s / %s / %s ms | %s | %s | %s (%.0f/s) | %s | %s |\n",
			r.name, megabytes(r.binaryBytes), ms(r.starts[0]), ms(r.starts[n/2]), ms(r.starts[n-1]),
			resident(r.first), resident(r.rested), resident(r.loaded), r.perSecond, resident(r.restedAgain), megabytes(r.restedAgain.peak))
	}
	fmt.Fprintln(w, "\nMemory is VmRSS, in brackets what of it is the process's own (RssAnon); the rest are pages of the binary.")
}

func ms(d time.Duration) string { return fmt.Sprintf("%.1f", d.Seconds()*1000) }

func megabytes(n int64) string { return fmt.Sprintf("%.1f MB", float64(n)/1e6) }

func resident(m memory) string {
	return fmt.Sprintf("%s (%.1f)", megabytes(m.resident), float64(m.own)/1e6)
}

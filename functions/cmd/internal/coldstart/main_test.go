package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tripcast.dev/events"
)

// TestMeasure measures little, and sees every figure of the table made.
func TestMeasure(t *testing.T) {
	var stdout, stderr bytes.Buffer
	if code := run(t.Context(), []string{"-runs", "2", "-labels", "300", "-requests", "100", "-idle", "1ms"}, &stdout, &stderr); code != exitOK {
		t.Fatalf("exit code %d: %s", code, &stderr)
	}
	for _, want := range []string{"| city-grid-neighbors | 300 | ", "| predict | ", "| learn | "} {
		if !strings.Contains(stdout.String(), want) {
			t.Errorf("%q is missing", want)
		}
	}
	for line := range strings.Lines(stdout.String()) {
		if strings.HasPrefix(line, "| predict ") || strings.HasPrefix(line, "| learn ") {
			if strings.Contains(line, " 0.0 ") || strings.Count(line, "|") != 9 {
				t.Errorf("a figure is missing in %s", line)
			}
		}
	}
	if t.Failed() {
		t.Log(stdout.String())
	}
}

// What is drawn is what the functions take.
func TestDrawnLabels(t *testing.T) {
	for n := range 1000 {
		l := drawn(n)
		if l.ID != drawn(n).ID || l.Y != drawn(n).Y {
			t.Fatalf("label %d is another one each time", n)
		}
		for _, f := range []function{predicting, learning} {
			if _, err := events.Encode(f.ask(l)); err != nil {
				t.Fatalf("label %d: %v", n, err)
			}
		}
	}
}

func TestRecordedLabels(t *testing.T) {
	file := filepath.Join(t.TempDir(), "samples.csv")
	text := "trip_id,picked_up_at,dropped_off_at,duration_s,a,b\n" +
		"t1,2016-01-01T00:00:00Z,2016-01-01T00:01:00Z,60,1,\n" +
		"t2,2016-01-01T00:00:00Z,2016-01-01T00:02:00Z,120,2,3\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	labels, err := recorded(context.Background(), file, 5)
	if err != nil {
		t.Fatal(err)
	}
	if l := labels(0); l.ID != "t1-0" || l.Y != 60 || len(l.Features) != 1 {
		t.Errorf("the first label is %+v", l)
	}
	if l := labels(3); l.ID != "t2-1" || l.Y != 120 || l.Features["b"] != 3 {
		t.Errorf("the file is over after two labels, the fourth is %+v", l)
	}
}

func TestUsage(t *testing.T) {
	for _, args := range [][]string{{"-x"}, {"x"}, {"-runs", "0"}, {"-idle", "-1s"}} {
		var stderr bytes.Buffer
		if code := run(t.Context(), args, &stderr, &stderr); code != exitUsage || stderr.Len() == 0 {
			t.Errorf("%q: exit code %d: %s", args, code, &stderr)
		}
	}
}

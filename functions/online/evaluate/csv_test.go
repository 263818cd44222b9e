package evaluate_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tripcast.dev/functions/online/evaluate"
)

func TestOpen(t *testing.T) {
	plain, err := os.ReadFile("testdata/samples.csv")
	if err != nil {
		t.Fatal(err)
	}
	gz := filepath.Join(t.TempDir(), "samples") // its name does not tell
	if err := os.WriteFile(gz, compressed(t, plain), 0o600); err != nil {
		t.Fatal(err)
	}
	var first string
	for _, name := range []string{"testdata/samples.csv", gz} {
		c, err := evaluate.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		samples, err := collect(c)
		if err != nil || len(samples) != 40 {
			t.Fatalf("%d samples, error %v", len(samples), err)
		}
		if got := strings.Join(c.Features(), " "); got != "avg_speed_by_hour hour_cos hour_sin is_weekend l1_distance passenger_count" {
			t.Errorf("features %s", got)
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
		s := samples[0]
		if s.ID != "y0000001" || s.Y != 615 || s.At != time.Date(2016, 1, 1, 0, 4, 8, 0, time.UTC) || s.LabelAt.Sub(s.At) != 615*time.Second ||
			fmt.Sprint(s.X) != "[0 0.9998476951563913 0.01745240643728351 0 0.04376983642579546 1]" {
			t.Errorf("first sample %+v", s)
		}
		if all := fmt.Sprint(samples); first == "" {
			first = all
		} else if all != first {
			t.Error("compressed, the samples are others")
		}
	}
}

func TestReadCSV(t *testing.T) {
	const header = "trip_id,picked_up_at,dropped_off_at,duration_s,a,b\n"
	const good = "x,2016-01-01T00:00:00.5Z,2016-01-01T01:00:01+01:00,1.5,,-2e3\n"
	tests := []struct {
		name, text string
		samples    int
		want       string // of the error
	}{
		{"good", header + good + good, 2, ""},
		{"no samples", header, 0, ""},
		{"no features", "trip_id,picked_up_at,dropped_off_at,duration_s\n", 0, ""},
		{"empty", "", 0, "f.csv: after line 0: it is empty"},
		{"another file", "id,vendor\n", 0, "f.csv: line 1: the columns are id,vendor, not trip_id,"},
		{"a feature twice", strings.Replace(header, "b", "a", 1), 0, `f.csv: line 1: a feature is called "a"`},
		{"a feature without a name", strings.Replace(header, ",b", ",", 1), 0, `line 1: a feature is called ""`},
		{"pick-up", header + good + strings.Replace(good, "2016-01-01T00:00:00.5Z", "2016-01-01 00:00:00", 1), 1, "f.csv: line 3: picked_up_at: parsing time"},
		{"drop-off", header + strings.Replace(good, "T01:00:01+01:00", "T01:00:01", 1), 0, "line 2: dropped_off_at: parsing time"},
		{"drop-off before pick-up", header + strings.Replace(good, "+01:00", "+02:00", 1), 0, "line 2: dropped_off_at is before picked_up_at"},
		{"order", header + good + strings.Replace(good, "00.5Z", "00.4Z", 1), 1, "line 3: its trip was picked up before that of the line above"},
		{"no duration", header + strings.Replace(good, "1.5", "", 1), 0, `line 2: duration_s: "" is not a finite number`},
		{"infinite duration", header + strings.Replace(good, "1.5", "Inf", 1), 0, `line 2: duration_s: "Inf" is not`},
		{"feature", header + good + strings.Replace(good, "-2e3", "NaN", 1), 1, `line 3: b: "NaN" is not a finite number`},
		{"large feature", header + strings.Replace(good, "-2e3", "1e999", 1), 0, `line 2: b: "1e999" is not`},
		{"short line", header + good + "y,2016\n", 1, "f.csv: line 3: wrong number of fields"},
		{"quote", header + good + "\"y\n", 1, "line 3: "},
		{"truncated text", header + good + "y,2016-01-01T00:00:00.5Z", 1, "f.csv: line 3: wrong number of fields"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c, err := evaluate.ReadCSV(strings.NewReader(tt.text), "f.csv")
			var samples []evaluate.Sample
			if err == nil {
				samples, err = collect(c)
			}
			if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("error %v, want %q", err, tt.want)
			}
			if len(samples) != tt.samples {
				t.Fatalf("%d samples, want %d", len(samples), tt.samples)
			}
			if len(samples) > 0 && (samples[0].Y != 1.5 || !math.IsNaN(samples[0].X[0]) || samples[0].X[1] != -2000) {
				t.Errorf("first sample %+v", samples[0])
			}
		})
	}
	if _, err := evaluate.Open("no-such-file.csv"); !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), "no-such-file.csv") {
		t.Errorf("error %v of a file that is not there", err)
	}
}

// A file that was cut short keeps what was before.
func TestTruncatedGzip(t *testing.T) {
	plain, err := os.ReadFile("testdata/samples.csv")
	if err != nil {
		t.Fatal(err)
	}
	whole := compressed(t, plain)
	most := 0
	for n := 2; n < len(whole); n += 7 {
		c, err := evaluate.ReadCSV(bytes.NewReader(whole[:n]), "f.csv.gz")
		var samples []evaluate.Sample
		if err == nil {
			samples, err = collect(c)
		}
		want := fmt.Sprintf("f.csv.gz: after line %d: the file is cut short", len(samples)+1)
		if len(samples) == 0 {
			want = "the file is cut short"
		}
		if !errors.Is(err, io.ErrUnexpectedEOF) || !strings.Contains(err.Error(), want) {
			t.Fatalf("%d bytes: error %v, want %q", n, err, want)
		}
		most = max(most, len(samples))
	}
	if most < 30 {
		t.Errorf("at most %d samples are kept", most)
	}
	damaged := bytes.Clone(whole)
	damaged[len(damaged)-8] ^= 1 // the checksum
	c, err := evaluate.ReadCSV(bytes.NewReader(damaged), "f.csv.gz")
	if err != nil {
		t.Fatal(err)
	}
	if samples, err := collect(c); !errors.Is(err, gzip.ErrChecksum) || len(samples) != 40 {
		t.Errorf("%d samples and error %v of a damaged file", len(samples), err)
	}
}

func TestSamplesAreCancelled(t *testing.T) {
	c, err := evaluate.Open("testdata/samples.csv")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	n := 0
	for _, err = range c.Samples(ctx) {
		if n++; n == 3 {
			cancel()
		}
	}
	if n != 4 || !errors.Is(err, context.Canceled) {
		t.Errorf("%d steps, error %v, want 4 and that of the context", n, err)
	}
}

func FuzzReadCSV(f *testing.F) {
	plain, err := os.ReadFile("testdata/samples.csv")
	if err != nil {
		f.Fatal(err)
	}
	plain = plain[:bytes.LastIndexByte(plain[:600], '\n')+1]
	f.Add(plain)
	f.Add(compressed(f, plain))
	f.Add(compressed(f, plain)[:100])
	f.Add([]byte("trip_id,picked_up_at,dropped_off_at,duration_s,\"a\nb\"\n\"\",,,,\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := evaluate.ReadCSV(io.LimitReader(bytes.NewReader(data), 1<<16), "f")
		if err != nil {
			return
		}
		samples, _ := collect(c)
		for i, s := range samples {
			if len(s.X) != len(c.Features()) || s.LabelAt.Before(s.At) || math.IsNaN(s.Y) || math.IsInf(s.Y, 0) {
				t.Fatalf("sample %+v", s)
			}
			if i > 0 && s.At.Before(samples[i-1].At) {
				t.Fatalf("sample %d is out of order", i)
			}
		}
		for _, err := range evaluate.Turns(stream(samples...)) {
			if err != nil {
				t.Fatal(err)
			}
		}
	})
}

// collect returns the samples before the first error.
func collect(c *evaluate.CSV) ([]evaluate.Sample, error) {
	var samples []evaluate.Sample
	for s, err := range c.Samples(context.Background()) {
		if err != nil {
			return samples, err
		}
		samples = append(samples, s)
		if len(samples) > 1<<16 {
			break
		}
	}
	return samples, nil
}

func compressed(t testing.TB, data []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

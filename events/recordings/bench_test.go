package recordings_test

import (
	"bytes"
	"path/filepath"
	"testing"

	"tripcast.dev/events/recordings"
)

func BenchmarkReader(b *testing.B) {
	var lines []byte
	all := day(1000)
	for _, r := range all {
		line, err := recordings.Compose(r)
		if err != nil {
			b.Fatal(err)
		}
		lines = append(lines, line...)
	}
	b.SetBytes(int64(len(lines)))
	b.ReportAllocs()
	for b.Loop() {
		r, err := recordings.NewReader(bytes.NewReader(lines), "day.jsonl")
		if err != nil {
			b.Fatal(err)
		}
		if got, err := collect(r); err != nil || len(got) != len(all) {
			b.Fatalf("%d records, error %v", len(got), err)
		}
	}
	b.ReportMetric(float64(len(all)*b.N)/b.Elapsed().Seconds(), "records/s")
}

func BenchmarkWriter(b *testing.B) {
	w, err := recordings.Create(filepath.Join(b.TempDir(), "day.jsonl.gz"), recordings.WriterOptions{})
	if err != nil {
		b.Fatal(err)
	}
	defer w.Close()
	r := day(1)[0]
	r.Offset = 0
	for b.Loop() {
		r.Offset++
		if err := w.Write(r); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "records/s")
}

package events_test

import (
	"testing"

	"tripcast.dev/events"
)

// The path of a prediction: a features record is read, a prediction is written.

func BenchmarkEncodePrediction(b *testing.B) {
	p := prediction()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := events.Encode(p); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDecodeFeatures(b *testing.B) {
	e, err := events.Encode(features())
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	b.SetBytes(int64(len(e.Data())))
	for b.Loop() {
		if _, err := events.DecodeFeatures(e); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDecodeLabel(b *testing.B) {
	e, err := events.Encode(label())
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	b.SetBytes(int64(len(e.Data())))
	for b.Loop() {
		if _, err := events.DecodeLabel(e); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkToRecord(b *testing.B) {
	e, err := events.Encode(prediction())
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := events.ToRecord(e); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkFromRecord(b *testing.B) {
	e, err := events.Encode(features())
	if err != nil {
		b.Fatal(err)
	}
	r, err := events.ToRecord(e)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := events.FromRecord(r); err != nil {
			b.Fatal(err)
		}
	}
}

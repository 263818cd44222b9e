package tree_test

import (
	"testing"

	"tripcast.dev/functions/online"
	"tripcast.dev/functions/online/internal/golden"
	"tripcast.dev/functions/online/preprocess"
	"tripcast.dev/functions/online/tree"
)

// trips are events of the taxi stream with features scaled.
func trips() []golden.Event {
	stream := golden.Streams()[0]
	scaler := preprocess.NewStandardScaler(len(stream.Features))
	events := make([]golden.Event, 0, len(stream.Events))
	for _, e := range stream.Events {
		scaler.Learn(e.X)
		events = append(events, golden.Event{X: scaler.Transform(nil, e.X), Y: e.Y})
	}
	return events
}

func benchmarkLearn(b *testing.B, model online.Regressor) {
	events := trips()
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		e := events[i%len(events)]
		model.Learn(e.X, e.Y)
		i++
	}
}

func benchmarkPredict(b *testing.B, model online.Regressor) {
	events := trips()
	for _, e := range events {
		model.Learn(e.X, e.Y)
	}
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		model.Predict(events[i%len(events)].X)
		i++
	}
}

func hoeffding() online.Regressor { return tree.NewHoeffdingRegressor(6, tree.DefaultConfig()) }

func adaptive(compat bool) online.Regressor {
	c := tree.DefaultAdaptiveConfig()
	c.MaxDepth, c.Compat = 20, compat
	return tree.NewAdaptiveRegressor(6, c)
}

func BenchmarkHoeffdingLearn(b *testing.B)      { benchmarkLearn(b, hoeffding()) }
func BenchmarkHoeffdingPredict(b *testing.B)    { benchmarkPredict(b, hoeffding()) }
func BenchmarkAdaptiveLearn(b *testing.B)       { benchmarkLearn(b, adaptive(false)) }
func BenchmarkAdaptivePredict(b *testing.B)     { benchmarkPredict(b, adaptive(false)) }
func BenchmarkAdaptiveLearnCompat(b *testing.B) { benchmarkLearn(b, adaptive(true)) }

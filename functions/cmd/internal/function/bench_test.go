package function_test

import (
	"slices"
	"testing"

	"tripcast.dev/events"
	"tripcast.dev/functions/online"
	"tripcast.dev/functions/online/kinds"
	"tripcast.dev/infra"
)

// deployed is a system with the models that are deployed, which have learned
// 1,000 labels each, and the names of their features.
func deployed(b *testing.B) (s system, names []string) {
	catalogue, err := online.ParseCatalogue(infra.Models(), kinds.All())
	if err != nil {
		b.Fatal(err)
	}
	for _, m := range catalogue.Models {
		names = append(names, m.Features...)
	}
	slices.Sort(names)
	names = slices.Compact(names)
	s = newSystemOf(b, infra.Models())
	f := startOnLambda(b, "learn", s.env())
	wantResponse(b, f.invoke(b, batch(b, events.TopicLabels, labels(b, 0, 1000, names...)...)), allDone)
	return s, names
}

// BenchmarkLambdaColdStart is from the start of a process of predict to the
// answer to its first batch, of one event, whose prediction is in Kafka then.
func BenchmarkLambdaColdStart(b *testing.B) {
	s, names := deployed(b)
	payload := batch(b, events.TopicFeatures, features(b, 0, 1, names...)...)
	for b.Loop() {
		f := startOnLambda(b, "predict", s.env())
		wantResponse(b, f.invoke(b, payload), allDone)
		b.StopTimer()
		f.command.Process.Kill()
		f.exit(b)
		b.StartTimer()
	}
}

// BenchmarkLambdaLearn is a batch of 1,000 labels, with the most labels of a
// commit as by default and as infra/lambda has it.
func BenchmarkLambdaLearn(b *testing.B) {
	for _, commit := range []string{"256", "1000"} {
		b.Run("commit="+commit, func(b *testing.B) {
			s, names := deployed(b)
			f := startOnLambda(b, "learn", s.env("MAX_BATCH", commit))
			before, _ := s.learned(b, "linear-regression")
			for n := 1; b.Loop(); n++ {
				b.StopTimer()
				payload := batch(b, events.TopicLabels, labels(b, 1000*n, 1000*(n+1), names...)...)
				b.StartTimer()
				wantResponse(b, f.invoke(b, payload), allDone)
			}
			after, _ := s.learned(b, "linear-regression")
			b.ReportMetric(float64(after-before)/float64(b.N), "versions/op")
		})
	}
}

// BenchmarkLambdaPredict is a batch of 1,000 features.
func BenchmarkLambdaPredict(b *testing.B) {
	s, names := deployed(b)
	f := startOnLambda(b, "predict", s.env())
	payload := batch(b, events.TopicFeatures, features(b, 0, 1000, names...)...)
	for b.Loop() {
		wantResponse(b, f.invoke(b, payload), allDone)
	}
}

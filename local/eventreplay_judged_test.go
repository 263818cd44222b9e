package main

import (
	"encoding/base64"
	"encoding/json"
	"math"
	"strings"
	"testing"
	"time"

	"tripcast.dev/events"
	"tripcast.dev/events/recordings"
	"tripcast.dev/functions/online"
	"tripcast.dev/functions/online/evaluate"
	"tripcast.dev/functions/online/kinds"
	"tripcast.dev/infra"
	"tripcast.dev/local/backtest"
	"tripcast.dev/local/replay"
)

// reasonOf is the error that a function has answered a dead letter with.
func reasonOf(letter replay.Event) string {
	text, _ := letter.Extensions()["knativeerrordata"].(string)
	data, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return err.Error()
	}
	var answer struct{ Error string }
	if err := json.Unmarshal(data, &answer); err != nil {
		return string(data)
	}
	return answer.Error
}

// batch is what the recording comes to when the SQL is evaluated once over it.
func (p *played) batch(t *testing.T) *backtest.Trips {
	t.Helper()
	statements, err := programOf(nil, "127.0.0.1:9092", nil)
	if err != nil {
		t.Fatal(err)
	}
	trips, err := backtest.Read(t.Context(), statements, func(yield func(recordings.Record, error) bool) {
		for _, r := range p.records {
			if !yield(r, nil) {
				return
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return trips
}

// featuresOf are those of a sample.
func featuresOf(trips *backtest.Trips, s evaluate.Sample) map[string]float64 {
	features := map[string]float64{}
	for i, name := range trips.Names {
		features[name] = s.X[i]
	}
	return features
}

// A normal day is all that is promised of trips, with the hours of a Friday and of
// a Saturday; and evaluated at once it comes to the same, to the last bit.
func judgeNormalDay(t *testing.T, p *played) {
	lives := p.lives(t)
	speeds := map[time.Time]map[float64]bool{} // by five minutes
	var weekend, remembered int
	for _, l := range lives {
		l.judge(t)
		if len(l.features) != 1 || len(l.labels) != 1 {
			t.Fatalf("%s has %d features and %d labels, want one each", l.TripID, len(l.features), len(l.labels))
		}
		f := l.features[0].Features
		at := l.PickedUpAt.Truncate(5 * time.Minute)
		if speeds[at] == nil {
			speeds[at] = map[float64]bool{}
		}
		speeds[at][f["recent_speed"]] = true
		if saturday := l.PickedUpAt.Weekday() == time.Saturday; saturday != (f["is_weekend"] == 1) {
			t.Errorf("%s starts on a %s and is_weekend is %v", l.TripID, l.PickedUpAt.Weekday(), f["is_weekend"])
		} else if saturday {
			weekend++
		}
		if f["recent_speed"] == 0 && f["avg_speed_by_hour"] > 0 {
			remembered++ // nothing has moved in the last hour, but the day before
		}
	}
	if several := countIf(speeds, func(of map[float64]bool) bool { return len(of) > 1 }); several < 5 {
		t.Errorf("in %d five minutes only zones differ in their recent_speed", several)
	}
	if weekend == 0 || weekend == len(lives) || remembered == 0 {
		t.Errorf("%d of %d trips start on a Saturday, %d know the hour of the day before: want some", weekend, len(lives), remembered)
	}
	p.wantLearned(t, len(lives))
	p.wantDead(t, nil)
	p.wantBatch(t, lives)
}

func countIf[K comparable, V any](all map[K]V, is func(V) bool) (n int) {
	for _, v := range all {
		if is(v) {
			n++
		}
	}
	return n
}

// wantBatch compares with a backtest: features, labels, and what every model
// answered.
func (p *played) wantBatch(t *testing.T, lives []life) {
	t.Helper()
	trips := p.batch(t)
	if len(trips.Samples) != len(lives) || len(trips.Left) != 0 {
		t.Fatalf("the batch has %d trips and left %v, want %d", len(trips.Samples), trips.Left, len(lives))
	}
	live := map[string]life{}
	for _, l := range lives {
		live[l.TripID] = l
	}
	for _, s := range trips.Samples {
		l := live[s.ID]
		if got, want := featuresOf(trips, s), l.features[0].Features; !equalFeatures(got, want) {
			t.Errorf("%s has the features %v in a batch, and %v in the stream", s.ID, got, want)
		}
		if s.Y != l.labels[0].DurationS || !s.LabelAt.Equal(l.end) {
			t.Errorf("%s took %v s until %s in a batch, and %v s until %s in the stream", s.ID, s.Y, s.LabelAt, l.labels[0].DurationS, l.end)
		}
	}
	models := catalogueModels(t)
	answered := func(model int, turn evaluate.Turn, predicted float64) {
		name := models[model].Name
		got, want := live[turn.ID].predictions[0].Predictions[name].DurationS, max(predicted, 0)
		if math.Float64bits(got) != math.Float64bits(want) {
			t.Errorf("%s: %s answers %v in the stream and %v in a backtest", turn.ID, name, got, want)
		}
	}
	_, err := evaluate.Progressive(t.Context(), trips.Names, func(yield func(evaluate.Sample, error) bool) {
		for _, s := range trips.Samples {
			if !yield(s, nil) {
				return
			}
		}
	}, models, evaluate.Options{Answered: answered})
	if err != nil {
		t.Fatal(err)
	}
	report, err := backtest.Run(t.Context(), trips, "city-grid-neighbors", catalogueModels(t), backtest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range report.Models {
		if want := maeOf(lives, m.Name); m.Count != len(lives) || !(math.Abs(float64(m.MAE)-want) <= 1e-9*want) {
			t.Errorf("%s was %v s off in the stream, and of %d trips %v in the report of a backtest", m.Name, want, m.Count, m.MAE)
		}
	}
}

// maeOf is the mean absolute error of what a model has answered.
func maeOf(lives []life, model string) float64 {
	var sum float64
	for _, l := range lives {
		sum += math.Abs(l.predictions[0].Predictions[model].DurationS - l.duration())
	}
	return sum / float64(len(lives))
}

func catalogueModels(t *testing.T) []evaluate.Model {
	t.Helper()
	catalogue, err := online.ParseCatalogue(infra.Models(), kinds.All())
	if err != nil {
		t.Fatal(err)
	}
	models, err := evaluate.Models(catalogue)
	if err != nil {
		t.Fatal(err)
	}
	return models
}

// Of duplicates, the first counts: one prediction a trip, one label, and what the
// second says is nowhere. A label that comes again is in its topic, and is not
// learned again.
func judgeDuplicates(t *testing.T, p *played) {
	lives := p.lives(t)
	var again int
	for _, l := range lives {
		l.judge(t)
		if len(l.features) != 1 || len(l.predictions) != 1 {
			t.Errorf("%s has %d features and %d predictions, want one each", l.TripID, len(l.features), len(l.predictions))
		}
		again += len(l.labels) - 1
	}
	if again == 0 {
		t.Error("no label came again")
	}
	if n := len(p.records) - 2*len(lives); n < len(lives) {
		t.Errorf("only %d records are duplicates", n)
	}
	p.wantLearned(t, len(lives))
	p.wantDead(t, nil)
}

// Within the grace the order of arrival makes no difference: features are those
// that a batch comes to, which knows no order. Beyond, a window is written again
// that somebody has seen; the first answer counts, and it is what is learned.
func judgeReordering(t *testing.T, p *played) {
	lives := p.lives(t)
	batch := map[string]map[string]float64{}
	trips := p.batch(t)
	for _, s := range trips.Samples {
		batch[s.ID] = featuresOf(trips, s)
	}
	grace := lives[0].PickedUpAt.Add(50 * time.Minute)
	var again, early int
	for _, l := range lives {
		l.judge(t)
		first, last := l.features[0].Features, l.features[len(l.features)-1].Features
		if l.PickedUpAt.Before(grace) {
			early++
			if len(l.features) != 1 || !equalFeatures(first, batch[l.TripID]) {
				t.Errorf("%s starts where nothing is later than the grace, and has features %d times: %v, %v in a batch", l.TripID, len(l.features), first, batch[l.TripID])
			}
		}
		if !equalFeatures(last, batch[l.TripID]) {
			t.Errorf("%s has the features %v in the end, and %v in a batch", l.TripID, last, batch[l.TripID])
		}
		if len(l.features) > 1 {
			again++
		}
	}
	if again == 0 || early < 50 {
		t.Errorf("%d trips were written again, %d start before anything is too late: want some", again, early)
	}
	p.wantLearned(t, len(lives))
	p.wantDead(t, nil)
}

// A trip without a sound end has a prediction and no label; one that ends hours
// late, or after a day, has both.
func judgeLateAndMissing(t *testing.T, p *played) {
	labelled := map[string]bool{
		"": true, "-hours-late": true, "-a-day": true,
		"-over-a-day": false, "-ends-before": false, "-ends-at-start": false, "-no-end": false,
	}
	met := map[string]int{}
	var ended int
	for _, l := range p.lives(t) {
		what := strings.TrimLeft(strings.TrimPrefix(l.TripID, "trip-"), "0123456789")
		met[what]++
		want, known := labelled[what]
		if !known || len(l.predictions) == 0 || (len(l.labels) == 1) != want {
			t.Errorf("%s has %d predictions and %d labels", l.TripID, len(l.predictions), len(l.labels))
		}
		if want {
			l.judge(t)
			ended++
		}
	}
	if len(met) != len(labelled) {
		t.Errorf("met only %v", met)
	}
	var strangers int
	for _, r := range p.records {
		if strings.HasSuffix(string(r.Key), "-no-start") {
			strangers++
			for _, topic := range replay.Outputs() {
				if len(p.of(topic)[string(r.Key)]) != 0 {
					t.Errorf("%s never started and is in %s", r.Key, topic)
				}
			}
		}
	}
	if strangers == 0 {
		t.Error("every trip has a start")
	}
	p.wantLearned(t, ended)
	p.wantDead(t, nil)
}

// What is malformed harms nobody else: it is ignored by SQL or lands in
// dead_letters with its reason, and every sound trip goes on as ever.
func judgeMalformed(t *testing.T, p *played) {
	taught, dead, sound := 0, map[string]string{}, map[string]life{}
	var ids []string
	for _, l := range p.lives(t) {
		if strings.HasPrefix(l.TripID, "malformed-") {
			l.judge(t)
			sound[l.TripID] = l
			ids = append(ids, l.TripID)
			taught++
		}
	}
	if len(sound) != 80 {
		t.Errorf("%d sound trips, want 80", len(sound))
	}
	predictions := p.of(events.TopicPredictions)
	for _, m := range allMisshapen(ids) {
		if m.refused != "" {
			dead[m.id] = m.refused
		}
		if _, isSound := sound[m.id]; isSound {
			continue
		}
		predicted := len(predictions[m.id]) == 1
		if want := m.taken && m.topic != events.TopicLabels; predicted != want {
			t.Errorf("%s of %s is predicted: %v, want %v", m.id, m.topic, predicted, want)
		}
		if m.taken && m.topic == events.TopicLabels {
			taught++
		}
	}
	p.wantLearned(t, taught)
	p.wantDead(t, dead)
}

// More fields and fewer change nothing; another version is another type, which
// SQL does not know, and functions refuse by its name.
func judgeSchemaChange(t *testing.T, p *played) {
	lives := p.lives(t)
	for _, l := range lives {
		l.judge(t)
	}
	var unknown int
	for _, r := range p.records {
		if key := string(r.Key); r.Topic == events.TopicPickUps && strings.HasPrefix(key, "v2-") {
			unknown++
			if n := len(p.of(events.TopicFeatures)[key]) + len(p.of(events.TopicLabels)[key]); n != 0 {
				t.Errorf("%s is a version that nobody knows, and has %d features and labels", key, n)
			}
		}
	}
	if unknown == 0 || len(lives) < 70 {
		t.Errorf("%d trips of a version that is known, %d of another", len(lives), unknown)
	}
	p.wantLearned(t, len(lives))
	p.wantDead(t, map[string]string{
		"features-v2": `"dev.tripcast.features.ready.v2" is not one that predict takes`,
		"label-v2":    `"dev.tripcast.label.ready.v2" is not one that learn takes`,
	})
}

// In the snow the city slows down: recent_speed says so, the champion, which has
// never seen it, promises too little, and learns.
func judgeSnowDay(t *testing.T, p *played) {
	lives := p.lives(t)
	for _, l := range lives {
		l.judge(t)
	}
	p.wantLearned(t, len(lives))
	p.wantDead(t, nil)

	dry, snow := lives[30:70], lives[70:]
	begin, end := snow[:30], snow[len(snow)-30:]
	promised := func(of []life) float64 { // as a share of what it took
		var predicted, took float64
		for _, l := range of {
			predicted += l.predictions[0].Predictions[l.predictions[0].Champion].DurationS
			took += l.duration()
		}
		return predicted / took
	}
	speed := func(of []life) float64 {
		var sum float64
		for _, l := range of {
			sum += l.features[0].Features["recent_speed"]
		}
		return sum / float64(len(of))
	}
	t.Logf("recent_speed %.1f km/h dry, %.1f in the end; the champion promises %.0f %% of the time it takes dry, %.0f %% as it begins to snow, %.0f %% in the end",
		speed(dry), speed(end), 100*promised(dry), 100*promised(begin), 100*promised(end))
	if !(speed(end) < 0.85*speed(dry)) {
		t.Errorf("recent_speed is %.1f km/h dry and %.1f in the snow", speed(dry), speed(end))
	}
	if !(promised(begin) < 0.85*promised(dry)) || !(promised(end) > 1.1*promised(begin)) {
		t.Errorf("the champion promises %.2f of the time dry, %.2f as it begins to snow, %.2f in the end", promised(dry), promised(begin), promised(end))
	}
}

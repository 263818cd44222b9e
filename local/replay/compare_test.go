package replay

import (
	"slices"
	"strings"
	"testing"

	"tripcast.dev/events"
)

func prediction(trip, data string) Event {
	return made(events.TopicPredictions, events.TypePrediction, trip, data)
}

func TestCompare(t *testing.T) {
	with := func(e Event, change func(*Event)) Event {
		e.Event = e.Clone()
		change(&e)
		return e
	}
	const answers = `{"trip_id":"t","features":{"x":1},"predictions":{"a":{"duration_s":10,"version":1}},"champion":"a"}`
	tests := []struct {
		name      string
		want, got []Event
		rules     Rules
		says      []string
	}{
		{name: "equal", want: []Event{feature("t", `{"a":1}`)}, got: []Event{feature("t", `{"a":1.0}`)}},
		{
			name: "a number",
			want: []Event{feature("trip-17", `{"features":{"recent_speed":12.3}}`)},
			got:  []Event{feature("trip-17", `{"features":{"recent_speed":12.4}}`)},
			says: []string{"features trip-17: data.features.recent_speed is 12.4, was 12.3"},
		},
		{name: "within the tolerance", want: []Event{feature("t", `{"a":123456789012}`)}, got: []Event{feature("t", `{"a":123456789013}`)}},
		{
			name: "small numbers are numbers", want: []Event{feature("t", `{"a":1.00e-5}`)}, got: []Event{feature("t", `{"a":1.01e-5}`)},
			says: []string{"features t: data.a is 1.01e-5, was 1.00e-5"},
		},
		{
			name: "rounding errors of zero", want: []Event{feature("t", `{"a":6.1e-17,"b":0}`)}, got: []Event{feature("t", `{"a":0,"b":-1.2e-16}`)},
		},
		{
			name: "another tolerance", want: []Event{feature("t", `[1,1]`)}, got: []Event{feature("t", `[1.01,1.2]`)}, rules: Rules{Tolerance: 0.1},
			says: []string{"features t: data[1] is 1.2, was 1"},
		},
		{
			name: "numbers that no float64 is", want: []Event{feature("t", `[1e999,1e999]`)}, got: []Event{feature("t", `[1e999,1e998]`)},
			says: []string{"features t: data[1] is 1e998, was 1e999"},
		},
		{
			name: "structure",
			want: []Event{feature("t", `{"a":{"b":1},"c":[1],"d":"x","e":null,"f":1,"g":true}`)},
			got:  []Event{feature("t", `{"a":[1],"c":[1,2],"d":"y","e":0,"h":1,"g":"true"}`)},
			says: []string{
				`features t: data.a is [1], was {"b":1}`,
				`features t: data.c is [1,2], was [1]`,
				`features t: data.d is "y", was "x"`,
				`features t: data.e is 0, was null`,
				`features t: data.f is missing, was 1`,
				`features t: data.g is "true", was true`,
				`features t: data.h is 1, was missing`,
			},
		},
		{
			name: "no JSON", want: []Event{feature("t", `{"a":`), feature("u", `{}`)}, got: []Event{feature("t", `{"b":`), feature("u", "")},
			says: []string{
				`features t: data is "{\"b\":", was "{\"a\":"`, `features u: datacontenttype is missing, was "application/json"`,
				`features u: data is missing, was "{}"`,
			},
		},
		{
			name: "attributes",
			want: []Event{with(feature("t", `1`), func(e *Event) { e.SetExtension("knativeerrordata", "bm8K") })},
			got:  []Event{with(feature("t", `1`), func(e *Event) { e.SetType("other"); e.SetExtension("knativeerrordata", "eWVzCg==") })},
			says: []string{`features t: knativeerrordata is "yes", was "no"`, `features t: type is "other", was "dev.tripcast.features.ready.v1"`},
		},
		{
			name: "missing and new, in order",
			want: []Event{feature("c", `1`), feature("a", `1`), prediction("a", `1`)},
			got:  []Event{prediction("b", `1`), feature("b", `1`), feature("c", `1`)},
			says: []string{"features a: is missing", "features b: was not there", "predictions a: is missing", "predictions b: was not there"},
		},
		{
			name: "written twice",
			want: []Event{feature("t", `1`), feature("t", `2`)}, got: []Event{feature("t", `2`), feature("t", `1`), feature("t", `1`)},
			says: []string{
				"features t: data is 2, was 1", "features t: number 2 of it: data is 1, was 2",
				"features t: number 3 of it: was not there",
			},
		},
		{
			name: "another id",
			want: []Event{feature("t", `1`)}, got: []Event{with(feature("t", `1`), func(e *Event) { e.SetID("other") })},
			says: []string{"features t: is missing", "features t: other of /tripcast/features was not there"},
		},
		{
			name: "answers in any order", rules: Rules{Unordered: true},
			want: []Event{prediction("t", answers), made(events.TopicLabels, events.TypeLabel, "t", `{"duration_s":1}`)},
			got: []Event{
				prediction("t", strings.NewReplacer(`:10,`, `:11,`, `"version":1`, `"version":2`, `"champion":"a"`, `"champion":"b"`).Replace(answers)),
				made(events.TopicLabels, events.TypeLabel, "t", `{"duration_s":2}`),
			},
			says: []string{"labels t: data.duration_s is 2, was 1"},
		},
		{
			name: "in any order, but by the same models and features", rules: Rules{Unordered: true},
			want: []Event{prediction("t", answers)},
			got:  []Event{prediction("t", strings.NewReplacer(`"a":{`, `"b":{`, `"x":1`, `"x":2`).Replace(answers))},
			says: []string{
				"predictions t: data.features.x is 2, was 1", "predictions t: data.predictions.a is missing, was true",
				"predictions t: data.predictions.b is true, was missing",
			},
		},
		{
			name: "step by step the answers count",
			want: []Event{prediction("t", answers)}, got: []Event{prediction("t", strings.Replace(answers, `"version":1`, `"version":2`, 1))},
			says: []string{"predictions t: data.predictions.a.version is 2, was 1"},
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var said []string
			for _, d := range Compare(&Outcome{test.want}, &Outcome{test.got}, test.rules) {
				said = append(said, d.String())
			}
			if !slices.Equal(said, test.says) {
				t.Errorf("the differences are\n%s\nwant\n%s", strings.Join(said, "\n"), strings.Join(test.says, "\n"))
			}
		})
	}
}

package main

import (
	"strings"
	"testing"
	"time"

	"tripcast.dev/events"
)

// misshapen is a record that is not what its topic is for.
type misshapen struct {
	topic, id, data string
	kind            string // of the event; empty is what the topic is for
	bare            bool   // without headers
	null            bool   // without a value
	structured      bool   // the data is a whole event
	// refused is part of the reason for which it lands in dead_letters. Without
	// one SQL ignores it, or it is taken as it is.
	refused string
	taken   bool // all the same
}

// pickUpText is sound, and of a time of which all is known when it comes.
const pickUpText = `{"trip_id":"ID","vendor_id":1,"picked_up_at":"2016-01-09T19:00:00Z","passenger_count":1,` +
	`"pickup_longitude":-73.98,"pickup_latitude":40.75,"dropoff_longitude":-73.96,"dropoff_latitude":40.77}`

// featuresText and labelText are sound, too.
const (
	featuresText = `{"trip_id":"ID","picked_up_at":"2016-01-09T19:31:00Z","features":` + featuresObject + `}`
	labelText    = `{"trip_id":"ID","features":` + featuresObject + `,"duration_s":600}`

	featuresObject = `{"passenger_count":1,"is_weekend":1,"l1_distance":0.04,"avg_speed_by_hour":0.00005,"hour_cos":0.38,"hour_sin":-0.92,` +
		`"distance_km":2.8,"bearing":37,"pickup_longitude":-73.98,"pickup_latitude":40.75,"dropoff_longitude":-73.96,"dropoff_latitude":40.77,"recent_speed":14}`
)

// change is a text with one part of it changed.
func change(text, part, to string) string {
	if strings.Count(text, part) != 1 {
		panic("not once in the text: " + part)
	}
	return strings.Replace(text, part, to, 1)
}

func misshapenPickUps() []misshapen {
	all := []misshapen{
		{id: "cut-short", data: pickUpText[:60]},
		{id: "not-text", data: "\xff\xfe\x00"},
		{id: "latin-1", data: change(pickUpText, `"vendor_id":1`, `"vendor_id":"M`+"\xfc"+`ller"`)},
		{id: "half-a-character", data: change(pickUpText, `"vendor_id":1`, `"vendor_id":"\ud83d"`)},
		{id: "nothing", data: ""},
		{id: "tombstone", null: true},
		{id: "an-array", data: `[1,2,3]`},
		{id: "a-number", data: `42`},
		{id: "a-null", data: `null`},
		{id: "an-empty-object", data: `{}`},
		{id: "without-id", data: change(pickUpText, `"trip_id":"ID",`, ``)},
		{id: "words-for-a-number", data: change(pickUpText, `"passenger_count":1`, `"passenger_count":"two"`)},
		{id: "a-crowd", data: change(pickUpText, `"passenger_count":1`, `"passenger_count":1000`)},
		{id: "below-zero", data: change(pickUpText, `"passenger_count":1`, `"passenger_count":-1`)},
		{id: "a-number-for-a-time", data: change(pickUpText, `"2016-01-09T19:00:00Z"`, `1452366000`)},
		{id: "no-such-day", data: change(pickUpText, `2016-01-09`, `2016-02-30`)},
		{id: "another-zone", data: change(pickUpText, `19:00:00Z`, `19:00:00+01:00`)},
		{id: "another-century", data: change(pickUpText, `2016`, `1916`)},
		{id: "beyond-the-pole", data: change(pickUpText, `"pickup_latitude":40.75`, `"pickup_latitude":90.1`)},
		{id: "beyond-the-globe", data: change(pickUpText, `-73.96`, `-180.5`)},
		{id: "far-beyond", data: change(pickUpText, `-73.96`, `1e99`)},
		{id: "without-a-place", data: change(pickUpText, `,"dropoff_latitude":40.77`, ``)},
		{id: "a-null-for-a-place", data: change(pickUpText, `"pickup_longitude":-73.98`, `"pickup_longitude":null`)},
		// SQL reads the value alone, and numbers that are strings.
		{id: "bare", data: pickUpText, bare: true, taken: true},
		{id: "a-string-for-a-number", data: change(pickUpText, `"passenger_count":1`, `"passenger_count":"1"`), taken: true},
		// SQL holds ids to nothing: it is predict that refuses them.
		{id: "spaces in it", data: pickUpText, refused: "trip_id: "},
		{id: strings.Repeat("long-", 26), data: pickUpText, refused: "130 bytes are more than 128"},
	}
	return of(events.TopicPickUps, all)
}

// misshapenDropOffs have the ids of trips that end soundly later.
func misshapenDropOffs(ids []string) []misshapen {
	const sound = `{"trip_id":"ID","dropped_off_at":"2016-01-09T19:50:00Z"}`
	all := []misshapen{
		{data: sound[:30]},
		{data: `"over"`},
		{data: ``},
		{null: true},
		{data: change(sound, `,"dropped_off_at":"2016-01-09T19:50:00Z"`, ``)},
		{data: change(sound, `"2016-01-09T19:50:00Z"`, `null`)},
		{data: change(sound, `"2016-01-09T19:50:00Z"`, `"soon"`)},
		{data: change(sound, `"2016-01-09T19:50:00Z"`, `1452368000`)},
		{data: change(sound, `19:50:00Z`, `25:50:00Z`)},
		{data: change(sound, `19:50:00Z`, `19:50:00`)},
		{data: change(sound, `"ID"`, `["ID"]`), bare: true},
	}
	for i := range all {
		all[i].id = ids[i]
	}
	return of(events.TopicDropOffs, all)
}

// misshapenFeatures go straight to predict.
func misshapenFeatures() []misshapen {
	all := []misshapen{
		{id: "features-cut-short", data: featuresText[:70], refused: "unexpected end of JSON input"},
		{id: "features-not-json", data: `trip=1`, refused: "invalid character"},
		{id: "features-an-array", data: `[]`, refused: "array at byte 1 is no object"},
		{id: "features-without-id", data: change(featuresText, `"trip_id":"ID",`, ``), refused: "trip_id: is missing"},
		{id: "features-without-time", data: change(featuresText, `"picked_up_at":"2016-01-09T19:31:00Z",`, ``), refused: "picked_up_at: is missing"},
		{id: "features-at-no-time", data: change(featuresText, `2016-01-09T19:31:00Z`, `this evening`), refused: "is not an RFC 3339 time"},
		{id: "features-of-1999", data: change(featuresText, `2016`, `1999`), refused: "is not between 2000 and 2100"},
		{id: "features-without-any", data: `{"trip_id":"ID","picked_up_at":"2016-01-09T19:31:00Z"}`, refused: "features: is missing"},
		{id: "features-of-words", data: change(featuresText, `"distance_km":2.8`, `"distance_km":"far"`), refused: "features.distance_km: string at byte"},
		{id: "features-too-large", data: change(featuresText, `"distance_km":2.8`, `"distance_km":1e400`), refused: "features.distance_km: number 1e400"},
		{id: "a-label", kind: events.TypeLabel, data: labelText, refused: "is not one that predict takes"},
		{id: "features-bare-and-broken", data: `{"trip_id":7}`, bare: true, refused: "trip_id: number at byte"},
		{id: "features-retracted", null: true},
		{id: "features-bare-and-empty", null: true, bare: true},
		{id: "features-bare", data: featuresText, bare: true, taken: true},
		{id: "features-structured", data: featuresText, structured: true, taken: true},
	}
	return of(events.TopicFeatures, all)
}

// misshapenLabels go straight to learn.
func misshapenLabels() []misshapen {
	all := []misshapen{
		{id: "label-cut-short", data: labelText[:70], refused: "unexpected end of JSON input"},
		{id: "label-a-string", data: `"label"`, refused: "string at byte"},
		{id: "label-without-id", data: change(labelText, `"trip_id":"ID",`, ``), refused: "trip_id: is missing"},
		{id: "label-without-truth", data: change(labelText, `,"duration_s":600`, ``), refused: "duration_s: is missing"},
		{id: "label-of-nothing", data: change(labelText, `600`, `0`), refused: "0 is not above 0"},
		{id: "label-of-less", data: change(labelText, `600`, `-600`), refused: "-600 is not above 0"},
		{id: "label-of-days", data: change(labelText, `600`, `86401`), refused: "86401 is not above 0 and at most 86400"},
		{id: "label-of-words", data: change(labelText, `600`, `"600"`), refused: "duration_s: string at byte"},
		{id: "label-without-features", data: `{"trip_id":"ID","duration_s":600}`, refused: "features: is missing"},
		{id: "features-in-labels", kind: events.TypeFeatures, data: featuresText, refused: "is not one that learn takes"},
		{id: "label-bare-and-broken", data: `{}`, bare: true, refused: "is missing"},
		{id: "label-retracted", null: true},
		{id: "label-bare", data: labelText, bare: true, taken: true},
	}
	return of(events.TopicLabels, all)
}

// of puts records into a topic, their ids into their data.
func of(topic string, all []misshapen) []misshapen {
	kinds := map[string]string{
		events.TopicPickUps: events.TypePickedUp, events.TopicDropOffs: events.TypeDroppedOff,
		events.TopicFeatures: events.TypeFeatures, events.TopicLabels: events.TypeLabel,
	}
	for i := range all {
		m := &all[i]
		m.topic, m.data = topic, strings.ReplaceAll(m.data, `"ID"`, `"`+m.id+`"`)
		if m.kind == "" {
			m.kind = kinds[topic]
		}
	}
	return all
}

func (m misshapen) record() events.Record {
	r := typed(m.id, m.kind, m.data)
	switch {
	case m.bare:
		r.Headers = nil
	case m.structured:
		r.Value = []byte(`{"specversion":"1.0","id":"` + m.id + `","source":"/tripcast/scenarios","type":"` + m.kind + `","data":` + m.data + `}`)
		r.Headers = []events.Header{{Key: "content-type", Value: []byte("application/cloudevents+json; charset=UTF-8")}}
	}
	if m.null {
		r.Value = nil
	}
	return r
}

func allMisshapen(ids []string) []misshapen {
	all := append(misshapenPickUps(), misshapenDropOffs(ids)...)
	return append(append(all, misshapenFeatures()...), misshapenLabels()...)
}

// malformed is an evening with all that is wrong strewn in: each record of trips
// between a sound trip's start and its end.
func malformed(t *testing.T, s *tape) {
	trips := evening(t, "malformed", 120, 80)
	var ids []string
	for _, trip := range trips {
		s.trip(t, trip)
		ids = append(ids, trip.ID)
	}
	var dropOffs int
	for i, m := range allMisshapen(ids) {
		trip := trips[i%len(trips)]
		if m.topic == events.TopicDropOffs {
			trip = trips[dropOffs]
			dropOffs++
		}
		s.put(trip.PickedUpAt.Add(time.Second), m.topic, m.record())
	}
}

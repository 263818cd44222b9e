package main

import (
	"io/fs"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"tripcast.dev/events/recordings"
	"tripcast.dev/infra"
	"tripcast.dev/local/replay"
	"tripcast.dev/sql"
)

// mistake is one that somebody could make in SQL or in the catalogue.
type mistake struct {
	name     string
	file     string // of sql/; empty is the catalogue
	old, new string // a text that occurs once, and what stands there instead
	caughtBy string // the recording whose replay tells it from the truth first
}

// TestMutations makes mistakes, and replays a recording with each: that the tests
// of the replays can fail, and what they notice. Those in Go are `go run
// ./local/mutate`.
func TestMutations(t *testing.T) {
	if raceEnabled {
		t.Skip("SKIPPED under the race detector: minutes of what is tested without")
	}
	for _, m := range mistakes() {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			after, differences := m.replayed(t, m.caughtBy)
			if len(differences) == 0 {
				t.Fatalf("the replay of %s tells no difference", m.caughtBy)
			}
			t.Logf("caught by %s after %d records, for %d reasons: %v", m.caughtBy, after, len(differences), differences[0])
		})
	}
	t.Run("none", func(t *testing.T) {
		t.Parallel()
		none := mistake{file: "30_features.sql", old: "FROM starting AS s", new: "FROM starting AS s"}
		if after, differences := none.replayed(t, "schema-change"); len(differences) > 0 {
			t.Errorf("after %d records: %v", after, differences)
		}
	})
}

func mistakes() []mistake {
	const (
		trips, speeds, features, labels = "10_trips.sql", "20_speeds.sql", "30_features.sql", "40_labels.sql"

		catalogue = ""
	)
	return []mistake{
		{
			name: "a zone's hour has thirteen times five minutes", file: speeds,
			old: "FROM zone_speed_5m\nCROSS JOIN generate_series(1, 12)", new: "FROM zone_speed_5m\nCROSS JOIN generate_series(1, 13)",
			caughtBy: "snow-day",
		},
		{
			name: "the city's hour has eleven times five minutes", file: speeds,
			old: "FROM city_speed_5m\nCROSS JOIN generate_series(1, 12)", new: "FROM city_speed_5m\nCROSS JOIN generate_series(1, 11)",
			caughtBy: "normal-day",
		},
		{
			name: "a bucket counts before it is closed", file: speeds,
			old: "FROM city_speed_5m\nCROSS JOIN generate_series(1, 12)", new: "FROM city_speed_5m\nCROSS JOIN generate_series(0, 11)",
			caughtBy: "normal-day",
		},
		{
			name: "the last week begins two days ago", file: speeds,
			old: "generate_series(1, 7)", new: "generate_series(2, 8)",
			caughtBy: "normal-day",
		},
		{
			name: "an hour goes on after midnight", file: speeds,
			old: "WHERE date_trunc('day', bucket + k.k * INTERVAL '5 minutes') = date_trunc('day', bucket)\n", new: "",
			caughtBy: "normal-day",
		},
		{
			name: "the grace is forgotten", file: trips,
			old:      "date_bin(INTERVAL '5 minutes', picked_up_at - INTERVAL '${grace}', TIMESTAMP '2000-01-01 00:00:00') AS window_end",
			new:      "date_bin(INTERVAL '5 minutes', picked_up_at, TIMESTAMP '2000-01-01 00:00:00') AS window_end",
			caughtBy: "normal-day",
		},
		{
			name: "the last pick-up of a trip counts", file: trips,
			old: "  AND dropoff_latitude BETWEEN -90 AND 90\nORDER BY trip_id, off", new: "  AND dropoff_latitude BETWEEN -90 AND 90\nORDER BY trip_id, off DESC",
			caughtBy: "duplicates",
		},
		{
			name: "the last drop-off of a trip counts", file: trips,
			old: "dropped_off_at IS NOT NULL\nORDER BY trip_id, off", new: "dropped_off_at IS NOT NULL\nORDER BY trip_id, off DESC",
			caughtBy: "duplicates",
		},
		{
			name: "the pole is not the end", file: trips,
			old: "pickup_latitude BETWEEN -90 AND 90", new: "pickup_latitude BETWEEN -180 AND 180",
			caughtBy: "malformed",
		},
		{
			name: "trips of a whole day are none", file: trips,
			old: "d.dropped_off_at <= t.picked_up_at + INTERVAL '1 day'", new: "d.dropped_off_at < t.picked_up_at + INTERVAL '1 day'",
			caughtBy: "late-and-missing",
		},
		{
			name: "trips may last two days", file: trips,
			old: "d.dropped_off_at <= t.picked_up_at + INTERVAL '1 day'", new: "d.dropped_off_at <= t.picked_up_at + INTERVAL '2 days'",
			caughtBy: "late-and-missing",
		},
		{
			name: "trips may end before they start", file: trips,
			old: "WHERE d.dropped_off_at > t.picked_up_at", new: "WHERE d.dropped_off_at <> t.picked_up_at",
			caughtBy: "late-and-missing",
		},
		{
			name: "north is south", file: trips,
			old: "radians(dropoff_latitude - pickup_latitude) AS north", new: "radians(pickup_latitude - dropoff_latitude) AS north",
			caughtBy: "normal-day",
		},
		{
			name: "the l1 distance takes a longitude for a latitude", file: trips,
			old: "abs(dropoff_latitude - pickup_latitude) AS l1_distance", new: "abs(dropoff_latitude - pickup_longitude) AS l1_distance",
			caughtBy: "normal-day",
		},
		{
			name: "cosine and sine of the hour are swapped", file: features,
			old: "'hour_cos', cos(radians(s.hour_of_day * 15)),\n        'hour_sin', sin(", new: "'hour_cos', sin(radians(s.hour_of_day * 15)),\n        'hour_sin', cos(",
			caughtBy: "normal-day",
		},
		{
			name: "the weekend begins on Sunday", file: features,
			old: "s.weekday >= 6", new: "s.weekday > 6",
			caughtBy: "late-and-missing",
		},
		{
			name: "a zone has to have seen six trips", file: features,
			old: "WHEN z.n >= 5 THEN", new: "WHEN z.n > 5 THEN",
			caughtBy: "normal-day",
		},
		{
			name: "a zone's speed has another weight", file: features,
			old: "z.speed_sum::float8 / z.n::float8 * 0.0036", new: "z.speed_sum::float8 / z.n::float8 * 0.0035",
			caughtBy: "normal-day",
		},
		{
			name: "pick-up's and drop-off's latitude are swapped", file: features,
			old: "'pickup_latitude', s.pickup_latitude,", new: "'pickup_latitude', s.dropoff_latitude,",
			caughtBy: "normal-day",
		},
		{
			name: "the last answer counts, not the one that was served", file: labels,
			old: "ORDER BY trip_id, off", new: "ORDER BY trip_id, off DESC",
			caughtBy: "reordering",
		},
		{
			name: "the distance is the label", file: labels,
			old: "    c.duration_s,", new: "    c.distance_km AS duration_s,",
			caughtBy: "normal-day",
		},
		{
			name: "another champion", file: catalogue,
			old: "champion: city-grid-neighbors", new: "champion: city-grid",
			caughtBy: "normal-day",
		},
		{
			name: "another learning rate", file: catalogue,
			old: "lr: 0.001,", new: "lr: 0.002,",
			caughtBy: "normal-day",
		},
		{
			name: "a feature is forgotten", file: catalogue,
			old: "      - is_weekend\n      - passenger_count\n    transformers", new: "      - is_weekend\n    transformers",
			caughtBy: "normal-day",
		},
		{
			name: "two features are swapped", file: catalogue,
			old:      "offset: {pickup_longitude: -73.97, dropoff_longitude: -73.97, pickup_latitude: 40.75, dropoff_latitude: 40.75}",
			new:      "offset: {pickup_longitude: 40.75, dropoff_longitude: -73.97, pickup_latitude: -73.97, dropoff_latitude: 40.75}",
			caughtBy: "normal-day",
		},
		{
			name: "a period of twice as many degrees", file: catalogue,
			old: "Harmonics: {features: [bearing], period: 180}", new: "Harmonics: {features: [bearing], period: 360}",
			caughtBy: "normal-day",
		},
		{
			name: "neighbors are asked sooner", file: catalogue,
			old: "warm_up: 100", new: "warm_up: 50",
			caughtBy: "normal-day",
		},
	}
}

// replayed makes the mistake and replays a recording until a difference from what
// is kept shows. It returns after how many records.
func (m mistake) replayed(t *testing.T, recording string) (after int, differences []replay.Difference) {
	t.Helper()
	want, err := replay.ReadOutcome(filepath.Join("testdata", "replay", recording+".golden.jsonl.gz"))
	if err != nil {
		t.Fatal(err)
	}
	own, err := startOwn(t.Context(), m.rig(t), t.Output())
	if err != nil {
		t.Fatal(err)
	}
	defer own.stop()

	records := recorded(t, recording)
	const stride = 10
	untilItShows := func(yield func(recordings.Record, error) bool) {
		for n, r := range records {
			if n%stride == 0 {
				if differences = withoutMissing(replay.Compare(want, own.collector.Outcome(), replay.Rules{})); len(differences) > 0 {
					return
				}
			}
			after = n + 1
			if !yield(r, nil) {
				return
			}
		}
	}
	if _, err := own.play(t.Context(), replay.Play{Topics: everything}, true, untilItShows); err != nil {
		t.Fatal(err)
	}
	if after == len(records) {
		differences = replay.Compare(want, own.collector.Outcome(), replay.Rules{})
	}
	return after, differences
}

// withoutMissing are the differences of what has come so far.
func withoutMissing(all []replay.Difference) (some []replay.Difference) {
	for _, d := range all {
		if !strings.HasSuffix(d.What, "is missing") {
			some = append(some, d)
		}
	}
	return some
}

// rig is a system with the mistake in it.
func (m mistake) rig(t *testing.T) rig {
	t.Helper()
	r := rig{newest: true}
	if m.file == "" {
		r.catalogue = []byte(m.in(t, string(infra.Models())))
		return r
	}
	changed := fstest.MapFS{}
	names, err := fs.Glob(sql.Files(), "*.sql")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		text, err := fs.ReadFile(sql.Files(), name)
		if err != nil {
			t.Fatal(err)
		}
		if name == m.file {
			text = []byte(m.in(t, string(text)))
		}
		changed[name] = &fstest.MapFile{Data: text}
	}
	r.sql = changed
	return r
}

func (m mistake) in(t *testing.T, text string) string {
	t.Helper()
	if n := strings.Count(text, m.old); n != 1 {
		t.Fatalf("the list is out of date: the text is there %d times, not once:\n%s", n, m.old)
	}
	return strings.Replace(text, m.old, m.new, 1)
}

package browser

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"tripcast.dev/events"
	"tripcast.dev/functions/monitor/live"
)

// Models of the catalogue that play a part: neither is its champion.
const (
	promoted   = "linear-distance"
	rolledBack = "nearest-neighbors"
)

// missing is where no page is.
const missing = "/nowhere"

// everyPage is where the pages are.
func (d *dashboard) everyPage() []string {
	return []string{"/", "/models", "/models/" + promoted, "/trips/" + d.ended, "/dead-letters", "/audit"}
}

// trip looks at one trip from its start to its end.
func (d *dashboard) trip(t *testing.T) {
	trip := d.lonely(d.clock(t))
	d.ended = trip.ID
	d.start(t, trip)
	d.seen(t, "started", trip.ID)
	d.step(t, "fromMap", map[string]any{"page": "live", "trip": trip.ID, "lon": trip.PickupLongitude, "lat": trip.PickupLatitude}, nil)
	d.end(t, trip)
	var types []string
	d.step(t, "ends", map[string]any{"page": "live", "trip": trip.ID, "took": "10 min"}, &types)
	want := []string{events.TypePickedUp, events.TypeFeatures, events.TypePrediction, events.TypeDroppedOff, events.TypeLabel}
	if !slices.Equal(types, want) {
		t.Errorf("the events are %v, want %v", types, want)
	}
	d.step(t, "leave", map[string]any{"page": "live"}, nil)
}

// deadLetter gives predict something that is no event of its kind.
func (d *dashboard) deadLetter(t *testing.T) {
	client, err := kgo.NewClient(kgo.SeedBrokers(d.kafka))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	record := &kgo.Record{Topic: events.TopicFeatures, Key: []byte("no-trip"), Value: []byte(`{"trip_id": "no-trip", "features": "none"}`)}
	for name, value := range map[string]string{
		"ce_specversion": "1.0", "ce_id": "no-trip", "ce_source": "/browser", "ce_type": events.TypeFeatures, "content-type": "application/json",
	} {
		record.Headers = append(record.Headers, kgo.RecordHeader{Key: name, Value: []byte(value)})
	}
	if err := client.ProduceSync(t.Context(), record).FirstErr(); err != nil {
		t.Fatal(err)
	}
	var shown string
	d.step(t, "deadLetter", map[string]any{"page": "live", "url": d.page}, &shown)
	for _, want := range []string{"400", "no-trip", events.TypeFeatures, "/browser"} {
		if !strings.Contains(shown, want) {
			t.Errorf("the dead letter does not show %q:\n%s", want, shown)
		}
	}
}

// act promotes and rolls back from the page.
func (d *dashboard) act(t *testing.T) {
	const by, reason = "Ada", "better at short trips"
	var got struct{ Told, Done string }
	d.step(t, "promote", map[string]any{
		"page": "acting", "url": d.page, "model": promoted, "wrong": token + "?", "token": token, "by": by, "reason": reason,
	}, &got)
	t.Logf("wrong token: %q; right one: %q", got.Told, got.Done)
	d.wantChampion(t, promoted)

	var version uint64
	d.step(t, "rollback", map[string]any{"page": "acting", "url": d.page, "model": rolledBack, "token": token, "by": by, "reason": reason}, &version)
	t.Logf("%s is back at version %d", rolledBack, version)
	var rows []string
	d.step(t, "audit", map[string]any{"page": "acting", "url": d.page}, &rows)
	for i, want := range [][]string{{"rollback", rolledBack, by, reason}, {"promote", promoted, by, reason}} {
		for _, w := range want {
			if i >= len(rows) || !strings.Contains(rows[i], w) {
				t.Errorf("entry %d of the audit trail lacks %q: %q", i, w, rows)
			}
		}
	}
	d.step(t, "close", map[string]any{"page": "acting"}, nil) // it would ask again while Redis is away
	var violations []string
	d.step(t, "dialogAccessible", map[string]any{"url": d.page, "model": rolledBack}, &violations)
	for _, v := range violations {
		t.Error(v)
	}
}

// wantChampion waits until a trip that starts now is answered by a model.
func (d *dashboard) wantChampion(t *testing.T, model string) {
	t.Helper()
	var champion string
	for deadline := time.Now().Add(30 * time.Second); champion != model; {
		if time.Now().After(deadline) {
			t.Fatalf("the champion of new predictions is %q, want %q", champion, model)
		}
		trip := d.lonely(d.clock(t))
		d.start(t, trip)
		d.seen(t, "started", trip.ID)
		var known live.Trip
		d.get(t, d.page+"/api/trips/"+trip.ID, &known)
		champion = known.Champion
		d.end(t, trip)
	}
}

func (d *dashboard) get(t *testing.T, url string, into any) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s %v\n%s", url, response.Status, err, body)
	}
	if err := json.Unmarshal(body, into); err != nil {
		t.Fatalf("%s: %v\n%s", url, err, body)
	}
}

// readsOnly looks at the dashboard of the main job, which nobody has given a token.
func (d *dashboard) readsOnly(t *testing.T) {
	d.step(t, "readOnly", map[string]any{"url": d.readOnly, "model": rolledBack}, nil)
	for _, authorization := range []string{"", "Bearer " + token} {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, d.readOnly+"/models/"+rolledBack+"/promote",
			bytes.NewReader([]byte(`{"by": "Ada", "reason": "none"}`)))
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Content-Type", "application/json")
		if authorization != "" {
			request.Header.Set("Authorization", authorization)
		}
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		_ = response.Body.Close()
		if response.StatusCode != http.StatusForbidden {
			t.Errorf("promoting with authorization %q is answered with %s, want 403", authorization, response.Status)
		}
	}
}

// forEveryone looks at every page as people do who see, point or read in other ways.
func (d *dashboard) forEveryone(t *testing.T) {
	for _, look := range []string{"accessible", "fits"} {
		t.Run(look, func(t *testing.T) {
			var problems []string
			d.step(t, look, map[string]any{"url": d.page, "paths": d.everyPage(), "missing": missing}, &problems)
			for _, p := range problems {
				t.Error(p)
			}
		})
	}
	t.Run("keyboard", func(t *testing.T) { d.step(t, "keyboard", map[string]any{"url": d.page}, nil) })
}

// withoutScript sees numbers on every page where scripts do not run.
func (d *dashboard) withoutScript(t *testing.T) {
	d.traffic(t)
	var completed int
	d.step(t, "withoutScript", map[string]any{"url": d.page, "model": promoted, "trip": d.ended}, &completed)
	if completed <= 0 {
		t.Errorf("%d trips completed are shown without JavaScript", completed)
	}
}

// databaseAway takes the database away under the open page, and gives it back.
func (d *dashboard) databaseAway(t *testing.T) {
	d.traffic(t)
	d.database.cut()
	var got struct {
		Said      string
		Completed int
	}
	d.step(t, "away", map[string]any{"page": "live", "source": "database", "word": "database"}, &got)
	t.Logf("%d trips completed stay; the page says: %s", got.Completed, got.Said)
	for _, secret := range []string{"postgres://", d.database.address, token} {
		if strings.Contains(got.Said, secret) {
			t.Errorf("the page tells of %q: %s", secret, got.Said)
		}
	}
	var still int
	d.step(t, "standsStill", map[string]any{"url": d.page}, &still)
	if still != got.Completed {
		t.Errorf("a page that is opened meanwhile shows %d trips completed, the open one %d", still, got.Completed)
	}
	fresh := startMonitor(t, d.binary, d.kafka, d.models.address, d.database.address)
	var state string
	d.step(t, "early", map[string]any{"url": fresh}, &state)
	defer func() {
		if err := d.try(t.Context(), "close", map[string]any{"page": "early"}, nil); err != nil {
			t.Error(err)
		}
	}()
	t.Logf("a dashboard that has not seen its database yet says: %s", state)

	d.database.restore()
	d.step(t, "back", map[string]any{"page": "live", "source": "database"}, nil)
	d.step(t, "back", map[string]any{"page": "early", "source": "database"}, nil)
}

// redisAway does the same to Redis: what the database says goes on.
func (d *dashboard) redisAway(t *testing.T) {
	d.traffic(t)
	d.models.cut()
	var got struct{ Said string }
	d.step(t, "away", map[string]any{"page": "live", "source": "redis", "word": "redis"}, &got)
	t.Logf("the page says: %s", got.Said)
	d.step(t, "numbersMove", map[string]any{"page": "live", "times": 1}, nil)
	d.models.restore()
	d.step(t, "back", map[string]any{"page": "live", "source": "redis"}, nil)
}

// dashboardAway does it to the dashboard itself, whose page stays open.
func (d *dashboard) dashboardAway(t *testing.T) {
	d.traffic(t)
	d.step(t, "losing", nil, nil)
	d.web.cut()
	var said string
	d.step(t, "lost", map[string]any{"page": "live"}, &said)
	t.Logf("the page says: %s", said)
	d.web.restore()
	d.step(t, "found", map[string]any{"page": "live"}, nil)
}

// manyTrips measures how smooth the map is with very many trips on it.
func (d *dashboard) manyTrips(t *testing.T) {
	const n = 50_000
	var got struct {
		Frames []float64
		Said   string
	}
	d.step(t, "manyTrips", map[string]any{"url": crowded(t, d.page, n), "trips": n}, &got)
	if len(got.Frames) == 0 {
		t.Fatal("no frame was drawn while the map was dragged")
	}
	at := func(q float64) string {
		return fmt.Sprintf("%.0f ms", got.Frames[min(len(got.Frames)-1, int(q*float64(len(got.Frames))))])
	}
	t.Logf("%s; %d frames while dragging: p50 %s, p95 %s, max %s", got.Said, len(got.Frames), at(0.5), at(0.95), at(1))
}

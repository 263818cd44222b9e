package monitor

import (
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"tripcast.dev/functions/monitor/live"
	"tripcast.dev/functions/monitor/trail"
	"tripcast.dev/functions/registry"
	"tripcast.dev/sql"
)

// Every page says what is to be known without any JavaScript.
func TestPages(t *testing.T) {
	d := newDashboard(t, token)
	for _, tt := range []struct {
		path string
		want []string
	}{
		{"/", []string{"2489", "681", "349.6 s", "city-grid"}},
		{"/trips/" + aTrip, []string{aTrip, "distance_km", "3.25", "city-grid", "trees", "12 min 43 s", "pick_ups", "dev.tripcast.trip.picked-up.v1"}},
		{"/models", []string{"city-grid", "trees", "LinearRegression", "HoeffdingTreeRegressor"}},
		{"/models/city-grid", []string{"city-grid", "StandardScaler", "LinearRegression", "commit-o", "25.5", "id4"}},
		{"/models/trees", []string{"trees", "n_models: 3", "seed: 7"}},
		{"/dead-letters", []string{"400", "http://predict", "field x", "no JSON"}},
		{"/audit", []string{"promote", "city-grid", "trees", "ada"}},
	} {
		t.Run(tt.path, func(t *testing.T) {
			w := d.get(t, tt.path)
			body := plainSpaces(w.Body.String())
			if w.Code != http.StatusOK || w.Header().Get("Content-Type") != "text/html; charset=utf-8" {
				t.Fatalf("%d %s: %s\n%s", w.Code, w.Header().Get("Content-Type"), body, d.logs)
			}
			wantIn(t, body, append(tt.want, "<!doctype html>", "<main", "</html>")...)
			wantInert(t, body)

			fragment := d.get(t, tt.path, "Tripcast-Fragment", "1")
			if text := fragment.Body.String(); strings.Contains(text, "<html") || strings.Contains(text, "<main") {
				t.Errorf("the fragment has a page around it: %s", text)
			}
			wantIn(t, plainSpaces(fragment.Body.String()), tt.want...)
			wantIn(t, fragment.Header().Get("Vary"), "Tripcast-Fragment")

			head := d.ask(t, http.MethodHead, tt.path, "")
			if head.Code != http.StatusOK || head.Header().Get("Content-Type") != w.Header().Get("Content-Type") {
				t.Errorf("HEAD has %d %v", head.Code, head.Header())
			}
		})
	}
}

// plainSpaces is a page as a test writes it.
func plainSpaces(page string) string {
	return strings.NewReplacer(unitSpace, " ", thousandSpace, "").Replace(page)
}

// handler is an attribute that is a script.
var handler = regexp.MustCompile(` on[a-z]+=`)

// wantInert holds a page to the content security policy, and to text that stays text.
func wantInert(t *testing.T, page string) {
	t.Helper()
	if strings.Contains(page, someText) || strings.Contains(page, "alert(\"&\")") {
		t.Errorf("text became HTML: %s", page)
	}
	for rest := page; ; {
		_, tag, found := strings.Cut(rest, "<")
		if !found {
			break
		}
		tag, rest, _ = strings.Cut(tag, ">")
		switch {
		case strings.HasPrefix(tag, "style"), strings.Contains(tag, " style="), handler.MatchString(tag):
			t.Errorf("the policy does not let <%s> be", tag)
		case strings.HasPrefix(tag, "script") && !strings.Contains(tag, ` src="/static/`):
			t.Errorf("the policy does not run <%s>", tag)
		}
	}
}

// Whoever knows no token is shown no way to act.
func TestReadOnlyPages(t *testing.T) {
	for _, path := range []string{"/models", "/models/trees"} {
		acting, reading := newDashboard(t, token).get(t, path).Body.String(), newDashboard(t, "").get(t, path).Body.String()
		if acting == reading {
			t.Errorf("%s does not say whether one can act", path)
		}
		wantIn(t, reading, "MONITOR_TOKEN")
	}
}

func TestTripInProgress(t *testing.T) {
	d := newDashboard(t, "")
	d.feed.trip.Ended, d.feed.trip.DurationS, d.feed.trip.DroppedOffAt = false, 0, time.Time{}
	w := d.get(t, "/trips/"+aTrip)
	if w.Code != http.StatusOK {
		t.Errorf("%d %s\n%s", w.Code, w.Body, d.logs)
	}
	if len(d.events.stretches) != 2 || d.events.trip != aTrip {
		t.Errorf("events of %s were looked for in %v", d.events.trip, d.events.stretches)
	}
}

// Where there are no events, the page says why, and has the rest.
func TestTripWithoutItsEvents(t *testing.T) {
	for _, tt := range []struct {
		name string
		set  func(*dashboard)
		want string
	}{
		{"no Kafka", func(d *dashboard) { d.Monitor.trails = nil }, "started without Kafka"},
		{"away", func(d *dashboard) { d.events.err = trail.ErrUnavailable }, "Kafka is away"},
		{"not all", func(d *dashboard) { d.events.found.Complete = false }, "not all"},
		{"none", func(d *dashboard) { d.events.found.Events = nil }, "hold no events"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := newDashboard(t, "")
			tt.set(d)
			w := d.get(t, "/trips/"+aTrip)
			if w.Code != http.StatusOK {
				t.Errorf("%d", w.Code)
			}
			wantIn(t, w.Body.String(), tt.want, "distance_km")
		})
	}
}

func TestStretches(t *testing.T) {
	arrived := live.Trip{ArrivedAt: noon}
	predicted := arrived
	predicted.Predicted, predicted.PredictedAt = true, noon.Add(2*time.Second)
	ended := predicted
	ended.Ended, ended.EndedAt = true, noon.Add(time.Hour)
	start := []string{"pick_ups", "features", "predictions"}
	failed := trail.Stretch{From: noon.Add(-before), Topics: []string{"dead_letters"}}
	untilPredicted := trail.Stretch{From: noon.Add(-before), To: noon.Add(2*time.Second + afterStart), Topics: start}
	for _, tt := range []struct {
		name string
		trip live.Trip
		want []trail.Stretch
	}{
		{"only picked up", arrived, []trail.Stretch{{From: noon.Add(-before), Topics: start}, failed}},
		{"predicted", predicted, []trail.Stretch{untilPredicted, failed}},
		{"ended", ended, []trail.Stretch{untilPredicted, failed, {
			From: noon.Add(time.Hour - before), To: noon.Add(time.Hour + afterEnd), Topics: []string{"drop_offs", "labels"},
		}}},
	} {
		if got := stretches(tt.trip); !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
}

// What the SQL of a stream does not have is named on every page.
func TestMissingViews(t *testing.T) {
	d := newDashboard(t, "")
	const told = "The SQL of this stream has no "
	if body := d.get(t, "/").Body.String(); strings.Contains(body, told) {
		t.Error("something is missing")
	}
	d.feed.now.Summary.Database.Missing = "best_models, prediction_lag"
	wantIn(t, d.get(t, "/models").Body.String(), told+"best_models, prediction_lag. What they would show stays empty.")
}

// What cannot be shown is told with what helps, as a page or as JSON.
func TestProblems(t *testing.T) {
	away := func(d *dashboard) {
		d.feed.err = fmt.Errorf("%w: dial tcp 10.0.0.7:6875", live.ErrUnavailable)
		d.feed.now.Summary.Database = live.Source{State: live.Away, Since: noon.UnixMilli(), Error: "connection refused"}
	}
	unknown := func(d *dashboard) { d.feed.err = live.ErrNotFound }
	noRedis := func(d *dashboard) {
		d.models.err = fmt.Errorf("%w: dial tcp 10.0.0.7:6379", registry.ErrUnavailable)
		d.feed.now.Summary.Redis = live.Source{State: live.Away, Since: noon.UnixMilli()}
	}
	none := func(*dashboard) {}
	for _, tt := range []struct {
		name   string
		set    func(*dashboard)
		path   string
		status int
		want   []string
	}{
		{"no page", none, "/nowhere", 404, []string{"/nowhere", "/dead-letters"}},
		{"no API", none, "/api/nowhere", 404, []string{"/api/nowhere"}},
		{"no file", none, "/static/nowhere.js", 404, []string{"nowhere.js"}},
		{"no trip", unknown, "/trips/x%2Fy", 404, []string{"x/y", "27 hours"}},
		{"no trip in the API", unknown, "/api/trips/x", 404, []string{"27 hours"}},
		{"no such id", none, "/trips/" + strings.Repeat("x", 129), 404, []string{"27 hours"}},
		{"database away", away, "/trips/x", 503, []string{"The database is away since 12:00:00 UTC on 24 November 2026", "connection refused", "tries again by itself"}},
		{"database away in the API", away, "/api/trips/x", 503, []string{"The database is away since"}},
		{"no trips in the SQL", func(d *dashboard) {
			d.feed.err, d.feed.now.Summary.Database.Missing = live.ErrUnavailable, "trip_ends, trip_starts"
		}, "/trips/x", 404, []string{"has no trip_ends, trip_starts"}},
		{"no model", none, "/models/nobody", 404, []string{"nobody", "/models"}},
		{"no catalogue", func(d *dashboard) { d.models.err = registry.ErrNoModels }, "/models/trees", 404, []string{"No models"}},
		{"Redis away, model", noRedis, "/models/trees", 503, []string{"Redis is away since 12:00:00 UTC"}},
		{"Redis away, audit", noRedis, "/audit", 503, []string{"Redis is away since 12:00:00 UTC"}},
		{"Kafka away", func(d *dashboard) { d.events.err = trail.ErrUnavailable }, "/dead-letters", 503, []string{"Kafka does not answer"}},
		{"unforeseen", func(d *dashboard) { d.models.err = errors.New("10.0.0.7 is odd") }, "/audit", 500, []string{"log says more"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := newDashboard(t, "")
			tt.set(d)
			w := d.get(t, tt.path)
			body := w.Body.String()
			if w.Code != tt.status {
				t.Errorf("%d, want %d: %s", w.Code, tt.status, body)
			}
			wantIn(t, body, tt.want...)
			if strings.Contains(body, "10.0.0.7") {
				t.Errorf("the page has what is for the log: %s", body)
			}
			isAPI := strings.HasPrefix(tt.path, "/api/")
			if got := w.Header().Get("Content-Type"); isAPI != (got == "application/json") || isAPI != json.Valid(w.Body.Bytes()) {
				t.Errorf("Content-Type %s: %s", got, body)
			}
			if retries := w.Header().Get("Retry-After") != ""; retries != (tt.status == 503) {
				t.Errorf("Retry-After %q", w.Header().Get("Retry-After"))
			}
			if refreshes := w.Header().Get("Refresh") != ""; refreshes != (tt.status == 503 && !isAPI) {
				t.Errorf("Refresh %q", w.Header().Get("Refresh"))
			}
		})
	}
}

// The pages that show what is remembered are there while servers are away.
func TestPagesWhileAway(t *testing.T) {
	d := newDashboard(t, token)
	gone := live.Source{State: live.Away, Since: noon.UnixMilli(), Error: "connection refused"}
	d.feed.now.Summary.Database, d.feed.now.Summary.Redis, d.feed.now.Summary.Kafka = gone, gone, gone
	d.models.err = registry.ErrUnavailable
	for _, path := range []string{"/", "/models"} {
		w := d.get(t, path)
		if w.Code != http.StatusOK {
			t.Errorf("%s: %d", path, w.Code)
		}
		wantIn(t, w.Body.String(), "away", "city-grid")
	}
}

// Nothing has been heard of yet: there are pages all the same.
func TestPagesOfNothing(t *testing.T) {
	d := newDashboard(t, "")
	catalogue := d.models.catalogue
	*d.feed, *d.events, *d.models = fakeFeed{trip: live.Trip{ID: "x"}}, fakeEvents{}, fakeModels{catalogue: catalogue}
	for _, path := range []string{"/", "/trips/x", "/models", "/models/trees", "/dead-letters", "/audit"} {
		if w := d.get(t, path); w.Code != http.StatusOK {
			t.Errorf("%s: %d\n%s", path, w.Code, d.logs)
		}
	}
}

func TestRetentionIsThatOfTheProgram(t *testing.T) {
	if want := sql.Defaults()["trip_retention"]; tripRetention != want {
		t.Errorf("pages say that trips are kept for %s, sql/ keeps them for %s", tripRetention, want)
	}
}

func TestAPI(t *testing.T) {
	d := newDashboard(t, "")
	var now live.Now
	if w := d.get(t, "/api/state"); json.Unmarshal(w.Body.Bytes(), &now) != nil || now.Summary.Trips.PickUps != 12345 || w.Header().Get("Cache-Control") != "no-store" {
		t.Errorf("state: %d %v %s", w.Code, w.Header(), w.Body)
	}
	var trip live.Trip
	if w := d.get(t, "/api/trips/"+aTrip); json.Unmarshal(w.Body.Bytes(), &trip) != nil || trip.ID != aTrip || len(trip.Predictions) != 2 {
		t.Errorf("trip: %d %s", w.Code, w.Body)
	}
	if d.feed.asked[0] != aTrip {
		t.Errorf("trip %q was asked for", d.feed.asked)
	}
}

func TestHealth(t *testing.T) {
	d := newDashboard(t, "")
	for _, path := range []string{"/health/liveness", "/healthz", "/health/readiness"} {
		if w := d.get(t, path); w.Code != http.StatusOK || w.Body.String() != `{"status":"ok"}`+"\n" {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
	}
	d.stop()
	if w := d.get(t, "/health/readiness"); w.Code != http.StatusServiceUnavailable || d.Ready(t.Context()) == nil {
		t.Errorf("it is ready while it stops: %d", w.Code)
	}
	if w := d.get(t, "/health/liveness"); w.Code != http.StatusOK {
		t.Errorf("it is dead while it stops: %d", w.Code)
	}
}

// A template that fails gives no half of a page.
func TestTemplateThatFails(t *testing.T) {
	d := newDashboard(t, "")
	w := d.ask(t, http.MethodGet, "/", "")
	whole := w.Body.String()
	d.pages.byName["live"] = d.pages.byName["trip"] // it asks for what the data does not have
	w = d.get(t, "/")
	if w.Code != http.StatusInternalServerError || strings.Contains(w.Body.String(), "<main") || len(w.Body.String()) >= len(whole) {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if len(d.logs.lines(t, "a page cannot be rendered")) != 1 {
		t.Errorf("the log does not say why: %s", d.logs)
	}
}

func TestPagesAreCompressed(t *testing.T) {
	d := newDashboard(t, "")
	plain := d.get(t, "/").Body.String()
	w := d.get(t, "/", "Accept-Encoding", "br, gzip")
	if w.Header().Get("Content-Encoding") != "gzip" || w.Body.Len() >= len(plain) {
		t.Fatalf("%v, %d bytes of %d", w.Header(), w.Body.Len(), len(plain))
	}
	z, err := gzip.NewReader(w.Body)
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(z)
	if err != nil || string(got) != plain {
		t.Errorf("error %v, %s", err, got)
	}
	if w := d.get(t, "/", "Accept-Encoding", "gzip;q=0, br"); w.Header().Get("Content-Encoding") != "" {
		t.Error("gzip is sent to whom it is not wanted by")
	}
}

package events_test

import (
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"tripcast.dev/events"
)

var (
	atEight = time.Date(2016, 1, 4, 8, 30, 0, 0, time.UTC)
	atNine  = time.Date(2016, 1, 4, 8, 52, 7, 500_000_000, time.UTC)
)

func pickUp() *events.PickUp {
	return &events.PickUp{
		TripID: "id2875421", VendorID: 2, PickedUpAt: atEight, PassengerCount: 1,
		PickupLongitude: -73.98215, PickupLatitude: 40.76793, DropoffLongitude: -73.96463, DropoffLatitude: 40.7656,
	}
}

func dropOff() *events.DropOff { return &events.DropOff{TripID: "id2875421", DroppedOffAt: atNine} }

func features() *events.Features {
	return &events.Features{TripID: "id2875421", PickedUpAt: atEight, Features: sixFeatures()}
}

func sixFeatures() map[string]float64 {
	return map[string]float64{
		"passenger_count": 1, "is_weekend": 0, "l1_distance": 0.0199,
		"avg_speed_by_hour": 4.75, "hour_cos": -0.5, "hour_sin": 0.8660254037844386,
	}
}

func prediction() *events.Prediction {
	return &events.Prediction{
		TripID: "id2875421", Features: sixFeatures(), Champion: "linear",
		Predictions: map[string]events.ModelPrediction{"linear": {DurationS: 455.25, Version: 17}, "tree": {}},
	}
}

func label() *events.Label {
	return &events.Label{TripID: "id2875421", Features: sixFeatures(), DurationS: 1327.5}
}

func learned() *events.Learned {
	return &events.Learned{
		TripID:   "id2875421",
		Versions: map[string]uint64{"linear": 18, "tree": math.MaxUint64}, Duplicate: map[string]bool{"tree": true},
	}
}

func proposal() *events.Proposal {
	return &events.Proposal{
		Model: "tree", At: atNine, Trips: 412,
		ErrorsS: map[string]float64{"linear": 291.5, "tree": 203.25},
	}
}

func decision() *events.Decision {
	return &events.Decision{Model: "tree", At: atNine, Champion: "tree", Promoted: true, Reason: "it errs less"}
}

// payloads is one valid payload of every type.
func payloads() []events.Payload {
	return []events.Payload{pickUp(), dropOff(), features(), prediction(), label(), learned(), proposal(), decision()}
}

// edited is a valid payload with one thing wrong.
func edited[P events.Payload](p P, edit func(P)) events.Payload {
	edit(p)
	return p
}

func many[V any](n int, v V) map[string]V {
	m := make(map[string]V, n)
	for i := range n {
		m["name"+strings.Repeat("x", i%100)+string(rune('A'+i/100))] = v
	}
	return m
}

func TestValidate(t *testing.T) {
	for _, p := range payloads() {
		if err := p.Validate(); err != nil {
			t.Errorf("%s: %v", p.Type(), err)
		}
	}
	newYork := time.FixedZone("", -5*3600)
	for name, p := range map[string]events.Payload{
		"a time with an offset":  edited(pickUp(), func(p *events.PickUp) { p.PickedUpAt = atEight.In(newYork) }),
		"the poles":              edited(pickUp(), func(p *events.PickUp) { p.PickupLatitude, p.DropoffLatitude = 90, -90 }),
		"the antimeridian":       edited(pickUp(), func(p *events.PickUp) { p.PickupLongitude, p.DropoffLongitude = 180, -180 }),
		"nine passengers":        edited(pickUp(), func(p *events.PickUp) { p.PassengerCount = events.MaxPassengerCount }),
		"no features":            edited(features(), func(f *events.Features) { f.Features = map[string]float64{} }),
		"as many as allowed":     edited(features(), func(f *events.Features) { f.Features = many(events.MaxFeatures, 1.5) }),
		"the longest id":         edited(dropOff(), func(d *events.DropOff) { d.TripID = strings.Repeat("~", events.MaxIDLength) }),
		"a name in another hand": edited(label(), func(l *events.Label) { l.Features["скорость"] = 1 }),
		"a whole day":            edited(label(), func(l *events.Label) { l.DurationS = events.MaxDurationS }),
		"no model yet":           edited(learned(), func(l *events.Learned) { l.Versions, l.Duplicate = map[string]uint64{}, nil }),
	} {
		if err := p.Validate(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestValidateInvalid(t *testing.T) {
	nan, inf := math.NaN(), math.Inf(1)
	long := strings.Repeat("x", 129)
	for _, test := range []struct {
		field   string
		payload events.Payload
	}{
		{"trip_id", edited(pickUp(), func(p *events.PickUp) { p.TripID = "" })},
		{"trip_id", edited(dropOff(), func(d *events.DropOff) { d.TripID = long })},
		{"trip_id", edited(features(), func(f *events.Features) { f.TripID = "a\x00b" })},
		{"trip_id", edited(prediction(), func(p *events.Prediction) { p.TripID = "a b" })},
		{"trip_id", edited(label(), func(l *events.Label) { l.TripID = "100%" })},
		{"trip_id", edited(learned(), func(l *events.Learned) { l.TripID = "été" })},
		{"trip_id", edited(learned(), func(l *events.Learned) { l.TripID = `"` })},

		{"picked_up_at", edited(pickUp(), func(p *events.PickUp) { p.PickedUpAt = time.Time{} })},
		{"picked_up_at", edited(pickUp(), func(p *events.PickUp) { p.PickedUpAt = time.Unix(0, 0) })},
		{"picked_up_at", edited(features(), func(f *events.Features) { f.PickedUpAt = time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC) })},
		{"dropped_off_at", edited(dropOff(), func(d *events.DropOff) { d.DroppedOffAt = time.Time{} })},
		{"dropped_off_at", edited(dropOff(), func(d *events.DropOff) { d.DroppedOffAt = time.Unix(1<<40, 0) })},
		{"passenger_count", edited(pickUp(), func(p *events.PickUp) { p.PassengerCount = -1 })},
		{"passenger_count", edited(pickUp(), func(p *events.PickUp) { p.PassengerCount = 10 })},
		{"pickup_longitude", edited(pickUp(), func(p *events.PickUp) { p.PickupLongitude = -180.1 })},
		{"pickup_latitude", edited(pickUp(), func(p *events.PickUp) { p.PickupLatitude = nan })},
		{"dropoff_longitude", edited(pickUp(), func(p *events.PickUp) { p.DropoffLongitude = inf })},
		{"dropoff_latitude", edited(pickUp(), func(p *events.PickUp) { p.DropoffLatitude = 91.2 })},

		{"features", edited(features(), func(f *events.Features) { f.Features = nil })},
		{"features", edited(features(), func(f *events.Features) { f.Features[""] = 1 })},
		{"features", edited(features(), func(f *events.Features) { f.Features[long] = 1 })},
		{"features", edited(features(), func(f *events.Features) { f.Features["\xff"] = 1 })},
		{"features", edited(label(), func(l *events.Label) { l.Features = many(events.MaxFeatures+1, 1.5) })},
		{"features.speed", edited(features(), func(f *events.Features) { f.Features["speed"] = nan })},
		{"features.speed", edited(prediction(), func(p *events.Prediction) { p.Features["speed"] = inf })},

		{"predictions", edited(prediction(), func(p *events.Prediction) { p.Predictions = nil })},
		{"predictions", edited(prediction(), func(p *events.Prediction) { p.Predictions[""] = p.Predictions["linear"] })},
		{"predictions", edited(prediction(), func(p *events.Prediction) { p.Predictions = many(513, events.ModelPrediction{}) })},
		{"predictions.tree.duration_s", edited(prediction(), func(p *events.Prediction) { p.Predictions["tree"] = events.ModelPrediction{DurationS: -1} })},
		{"predictions.tree.duration_s", edited(prediction(), func(p *events.Prediction) { p.Predictions["tree"] = events.ModelPrediction{DurationS: nan} })},
		{"predictions.tree.duration_s", edited(prediction(), func(p *events.Prediction) { p.Predictions["tree"] = events.ModelPrediction{DurationS: inf} })},
		{"champion", edited(prediction(), func(p *events.Prediction) { p.Champion = "" })},
		{"champion", edited(prediction(), func(p *events.Prediction) { p.Champion = "forest" })},

		{"duration_s", edited(label(), func(l *events.Label) { l.DurationS = 0 })},
		{"duration_s", edited(label(), func(l *events.Label) { l.DurationS = -3 })},
		{"duration_s", edited(label(), func(l *events.Label) { l.DurationS = nan })},
		{"duration_s", edited(label(), func(l *events.Label) { l.DurationS = events.MaxDurationS + 1 })},

		{"versions", edited(learned(), func(l *events.Learned) { l.Versions = nil })},
		{"versions", edited(learned(), func(l *events.Learned) { l.Versions[""] = 1 })},
		{"versions", edited(learned(), func(l *events.Learned) { l.Versions = many(513, uint64(1)) })},
		{"duplicate", edited(learned(), func(l *events.Learned) { l.Duplicate["forest"] = true })},

		{"model", edited(proposal(), func(p *events.Proposal) { p.Model = "" })},
		{"model", edited(proposal(), func(p *events.Proposal) { p.Model = "a tree" })},
		{"model", edited(proposal(), func(p *events.Proposal) { p.Model = "forest" })},
		{"judged_at", edited(proposal(), func(p *events.Proposal) { p.At = time.Time{} })},
		{"trips", edited(proposal(), func(p *events.Proposal) { p.Trips = 0 })},
		{"errors_s", edited(proposal(), func(p *events.Proposal) { p.ErrorsS = nil })},
		{"errors_s", edited(proposal(), func(p *events.Proposal) { p.ErrorsS[""] = 1 })},
		{"errors_s", edited(proposal(), func(p *events.Proposal) { p.ErrorsS = many(513, 1.0) })},
		{"errors_s.tree", edited(proposal(), func(p *events.Proposal) { p.ErrorsS["tree"] = nan })},
		{"errors_s.tree", edited(proposal(), func(p *events.Proposal) { p.ErrorsS["tree"] = -1 })},

		{"model", edited(decision(), func(d *events.Decision) { d.Model = "" })},
		{"judged_at", edited(decision(), func(d *events.Decision) { d.At = time.Time{} })},
		{"champion", edited(decision(), func(d *events.Decision) { d.Champion = "" })},
		{"champion", edited(decision(), func(d *events.Decision) { d.Champion = "linear" })},
		{"reason", edited(decision(), func(d *events.Decision) { d.Reason = "" })},
	} {
		wantField(t, test.payload.Type(), test.payload.Validate(), test.field)
		_, err := events.Encode(test.payload)
		wantField(t, "encode "+test.payload.Type(), err, test.field)
	}
}

// wantField fails unless err is an InvalidError on the field.
func wantField(t *testing.T, what string, err error, field string) {
	t.Helper()
	var invalid *events.InvalidError
	if !errors.As(err, &invalid) {
		t.Errorf("%s: got %v, want an InvalidError on %s", what, err, field)
		return
	}
	if invalid.Field != field {
		t.Errorf("%s: the error is on %s, want %s: %v", what, invalid.Field, field, err)
	}
}

func TestInvalidErrorMessage(t *testing.T) {
	err := edited(pickUp(), func(p *events.PickUp) { p.DropoffLatitude = 91.2 }).Validate()
	if got, want := err.Error(), "events: dropoff_latitude: 91.2 is not between -90 and 90"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestEncode(t *testing.T) {
	for _, test := range []struct {
		payload    events.Payload
		typ, src   string
		happenedAt time.Time
	}{
		{pickUp(), "dev.tripcast.trip.picked-up.v1", "/tripcast/pick_ups", atEight},
		{dropOff(), "dev.tripcast.trip.dropped-off.v1", "/tripcast/drop_offs", atNine},
		{features(), "dev.tripcast.features.ready.v1", "/tripcast/features", atEight},
		{prediction(), "dev.tripcast.prediction.made.v1", "/tripcast/predictions", time.Time{}},
		{label(), "dev.tripcast.label.ready.v1", "/tripcast/labels", time.Time{}},
		{learned(), "dev.tripcast.label.learned.v1", "/tripcast/learn", time.Time{}},
		{proposal(), "dev.tripcast.champion.proposed.v1", "/tripcast/champions", time.Time{}},
		{decision(), "dev.tripcast.champion.decided.v1", "/tripcast/promote", time.Time{}},
	} {
		e, err := events.Encode(test.payload)
		if err != nil {
			t.Fatalf("%s: %v", test.typ, err)
		}
		if err := e.Validate(); err != nil {
			t.Errorf("%s: the SDK refuses it: %v", test.typ, err)
		}
		got := []string{e.SpecVersion(), e.ID(), e.Subject(), e.Type(), e.Source(), e.DataContentType()}
		id, about := "id2875421", "id2875421"
		if strings.HasPrefix(test.typ, "dev.tripcast.champion.") {
			id, about = "tree@2016-01-04T08:52:07.5Z", "champion"
		}
		want := []string{"1.0", id, about, test.typ, test.src, "application/json"}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("got attributes %q, want %q", got, want)
		}
		if !e.Time().Equal(test.happenedAt) {
			t.Errorf("%s: time is %v, want %v", test.typ, e.Time(), test.happenedAt)
		}
		if key := e.Extensions()["partitionkey"]; key != about {
			t.Errorf("%s: partitionkey is %v", test.typ, key)
		}
		again, err := events.Encode(test.payload)
		if err != nil || !reflect.DeepEqual(e, again) {
			t.Errorf("%s: encoded twice it differs:\n%v\n%v, %v", test.typ, e, again, err)
		}
		decoded, err := events.Decode(e)
		if err != nil || !reflect.DeepEqual(decoded, test.payload) {
			t.Errorf("%s: got back %+v, %v\nwant %+v", test.typ, decoded, err, test.payload)
		}
	}
}

func TestEncodeWritesUTC(t *testing.T) {
	at := atEight.In(time.FixedZone("", -5*3600))
	p := edited(pickUp(), func(p *events.PickUp) { p.PickedUpAt = at })
	e, err := events.Encode(p)
	if err != nil {
		t.Fatal(err)
	}
	if want := `"picked_up_at":"2016-01-04T08:30:00Z"`; !strings.Contains(string(e.Data()), want) {
		t.Errorf("%s lacks %s", e.Data(), want)
	}
	if p.(*events.PickUp).PickedUpAt != at {
		t.Error("Encode changed the payload")
	}
}

// The limits of Validate keep every payload below MaxDataBytes, so that what is
// encoded can be decoded.
func TestTheLargestPayloadIsDecoded(t *testing.T) {
	p := prediction()
	p.Features = make(map[string]float64)
	p.Predictions = make(map[string]events.ModelPrediction)
	for i := range max(events.MaxFeatures, events.MaxModels) {
		name := strings.Repeat("\u2028", events.MaxNameLength-1) + string(rune(0x2100+i)) // \u2028 is escaped
		p.Features[name] = -math.MaxFloat64
		p.Predictions[name] = events.ModelPrediction{DurationS: math.SmallestNonzeroFloat64, Version: math.MaxUint64}
		p.Champion = name
	}
	e, err := events.Encode(p)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := events.DecodePrediction(e); err != nil || !reflect.DeepEqual(&got, p) {
		t.Errorf("%d bytes: %v", len(e.Data()), err)
	}
}

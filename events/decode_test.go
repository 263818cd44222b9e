package events_test

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"tripcast.dev/events"
)

// schemasByType compiles every schema, by the event type in its title.
func schemasByType(t *testing.T) map[string]*jsonschema.Schema {
	t.Helper()
	compiler := jsonschema.NewCompiler()
	compiler.AssertFormat()
	files, err := fs.Glob(events.Schemas(), "*.json")
	if err != nil {
		t.Fatal(err)
	}
	out := make(map[string]*jsonschema.Schema)
	for _, name := range files {
		text, err := fs.ReadFile(events.Schemas(), name)
		if err != nil {
			t.Fatal(err)
		}
		doc, err := jsonschema.UnmarshalJSON(strings.NewReader(string(text)))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if err := compiler.AddResource(name, doc); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		schema, err := compiler.Compile(name)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if schema.DraftVersion != 2020 {
			t.Errorf("%s is of draft %d", name, schema.DraftVersion)
		}
		out[schema.Title] = schema
	}
	return out
}

// checkSchema is nil where the schema takes the document.
func checkSchema(t *testing.T, schema *jsonschema.Schema, document string) error {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(strings.NewReader(document))
	if err != nil {
		t.Fatalf("%s: %v", document, err)
	}
	return schema.Validate(doc)
}

func TestSchemasTakeWhatIsEncoded(t *testing.T) {
	schemas := schemasByType(t)
	var types []string
	for _, p := range payloads() {
		types = append(types, p.Type())
		e, err := events.Encode(p)
		if err != nil {
			t.Fatal(err)
		}
		schema := schemas[p.Type()]
		if schema == nil {
			t.Fatalf("no schema for %s", p.Type())
		}
		if err := checkSchema(t, schema, string(e.Data())); err != nil {
			t.Errorf("%s: %v", e.Data(), err)
		}
	}
	if got := slices.Sorted(maps.Keys(schemas)); !slices.Equal(got, slices.Sorted(slices.Values(types))) {
		t.Errorf("schemas for %q, payloads are %q", got, types)
	}
}

// eventOf is an event with the document as its data.
func eventOf(typ, document string) event.Event {
	e := event.New()
	e.SetID("1")
	e.SetSource("/test")
	e.SetType(typ)
	if document != "" {
		e.DataEncoded = []byte(document)
	}
	return e
}

// replaced is the JSON of a valid payload with one member (a path of names
// joined by dots) replaced by JSON text, or removed where the text is empty.
func replaced(t *testing.T, p events.Payload, path, text string) string {
	t.Helper()
	e, err := events.Encode(p)
	if err != nil {
		t.Fatal(err)
	}
	var edit func(raw json.RawMessage, names []string) json.RawMessage
	edit = func(raw json.RawMessage, names []string) json.RawMessage {
		if len(names) == 0 {
			return json.RawMessage(text)
		}
		members := map[string]json.RawMessage{}
		if err := json.Unmarshal(raw, &members); err != nil {
			t.Fatal(err)
		}
		inner := edit(members[names[0]], names[1:])
		if members[names[0]] = inner; len(inner) == 0 {
			delete(members, names[0])
		}
		out, err := json.Marshal(members)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	return string(edit(e.Data(), strings.Split(path, ".")))
}

// Each case breaks one field. Schema and decoder must both refuse it, and the
// decoder must name the field.
func TestSchemaAndDecoderRefuseTheSame(t *testing.T) {
	schemas := schemasByType(t)
	for _, test := range []struct {
		payload    events.Payload
		path, text string
	}{
		{pickUp(), "trip_id", ``},
		{pickUp(), "trip_id", `""`},
		{pickUp(), "trip_id", `"a b"`},
		{pickUp(), "trip_id", `"a\u0000"`},
		{pickUp(), "trip_id", `"caf\u00e9"`},
		{pickUp(), "trip_id", `17`},
		{pickUp(), "trip_id", `"` + strings.Repeat("x", 129) + `"`},
		{pickUp(), "vendor_id", `1.5`},
		{pickUp(), "picked_up_at", ``},
		{pickUp(), "picked_up_at", `"yesterday"`},
		{pickUp(), "picked_up_at", `"2016-01-04 08:30:00"`},
		{pickUp(), "picked_up_at", `"2016-02-30T08:30:00Z"`},
		{pickUp(), "picked_up_at", `"1999-12-31T23:59:59Z"`},
		{pickUp(), "picked_up_at", `"2100-01-01T00:00:00Z"`},
		{pickUp(), "picked_up_at", `"1451896200000"`},
		{pickUp(), "picked_up_at", `1451896200000`},
		{pickUp(), "passenger_count", ``},
		{pickUp(), "passenger_count", `-1`},
		{pickUp(), "passenger_count", `10`},
		{pickUp(), "passenger_count", `1.5`},
		{pickUp(), "passenger_count", `null`},
		{pickUp(), "pickup_longitude", `180.5`},
		{pickUp(), "pickup_longitude", ``},
		{pickUp(), "pickup_latitude", `-90.01`},
		{pickUp(), "pickup_latitude", `null`},
		{pickUp(), "dropoff_longitude", `-200`},
		{pickUp(), "dropoff_longitude", `"-73.9"`},
		{pickUp(), "dropoff_latitude", `91.2`},
		{pickUp(), "dropoff_latitude", ``},

		{dropOff(), "trip_id", `null`},
		{dropOff(), "dropped_off_at", ``},
		{dropOff(), "dropped_off_at", `null`},
		{dropOff(), "dropped_off_at", `"1970-01-01T00:00:00Z"`},

		{features(), "trip_id", ``},
		{features(), "picked_up_at", `"0x1p40"`},
		{features(), "picked_up_at", `"NaN"`},
		{features(), "picked_up_at", `""`},
		{features(), "picked_up_at", `1451896200000`},
		{features(), "features", ``},
		{features(), "features", `null`},
		{features(), "features", `[1, 2]`},
		{features(), "features", `{"": 1}`},
		{features(), "features", `{"": null}`},
		{features(), "features", `{"` + strings.Repeat("x", 129) + `": 1}`},
		{features(), "features", manyJSON(513, `1`)},
		{features(), "features", manyJSON(513, `null`)},
		{features(), "features.l1_distance", `"far"`},
		{features(), "features.l1_distance", `{"km": 3}`},
		{features(), "features.l1_distance", `true`},

		{prediction(), "predictions", ``},
		{prediction(), "predictions", `{}`},
		{prediction(), "predictions", `{"": {"duration_s": 1, "version": 1}}`},
		{prediction(), "predictions.linear", `null`},
		{prediction(), "predictions.linear", `12`},
		{prediction(), "predictions.linear.duration_s", ``},
		{prediction(), "predictions.linear.duration_s", `-0.5`},
		{prediction(), "predictions.linear.duration_s", `"12"`},
		{prediction(), "predictions.linear.version", ``},
		{prediction(), "predictions.linear.version", `-1`},
		{prediction(), "predictions.linear.version", `1.5`},
		{prediction(), "predictions.linear.version", `18446744073709551616`},
		{prediction(), "features", ``},
		{prediction(), "champion", ``},
		{prediction(), "champion", `""`},

		{label(), "trip_id", ``},
		{label(), "features", ``},
		{label(), "features.hour_sin", `[]`},
		{label(), "duration_s", ``},
		{label(), "duration_s", `null`},
		{label(), "duration_s", `0`},
		{label(), "duration_s", `-12`},
		{label(), "duration_s", `86400.5`},
		{label(), "duration_s", `"455"`},

		{learned(), "versions", ``},
		{learned(), "versions.linear", `null`},
		{learned(), "versions.linear", `-1`},
		{learned(), "versions", `{"": 3}`},
		{learned(), "duplicate.tree", `"yes"`},
		{learned(), "duplicate.tree", `null`},

		{proposal(), "model", ``},
		{proposal(), "judged_at", `"noon"`},
		{proposal(), "trips", ``},
		{proposal(), "trips", `-1`},
		{proposal(), "errors_s", ``},
		{proposal(), "errors_s.tree", `null`},
		{proposal(), "errors_s.tree", `"far"`},
		{decision(), "judged_at", ``},
		{decision(), "promoted", ``},
		{decision(), "reason", ``},
	} {
		document := replaced(t, test.payload, test.path, test.text)
		what := fmt.Sprintf("%s with %s = %.60s", test.payload.Type(), test.path, test.text)
		if err := checkSchema(t, schemas[test.payload.Type()], document); err == nil {
			t.Errorf("%s: the schema takes it", what)
		}
		_, err := events.Decode(eventOf(test.payload.Type(), document))
		wantField(t, what, err, test.path)
	}
}

func manyJSON(n int, value string) string {
	var members []string
	for i := range n {
		members = append(members, fmt.Sprintf(`"f%d": %s`, i, value))
	}
	return "{" + strings.Join(members, ",") + "}"
}

func TestDecodeTakes(t *testing.T) {
	for _, test := range []struct {
		name, typ, document string
		want                events.Payload
	}{
		{
			"a null feature as missing, what it does not know, and the headers of a sink", events.TypeFeatures,
			`{"trip_id":"t","picked_up_at":"2016-01-04T08:30:00Z","features":{"a":1,"b":null},"headers":{"ce_id":"t"},"x":[[]]}`,
			&events.Features{TripID: "t", PickedUpAt: atEight, Features: map[string]float64{"a": 1}},
		},
		{
			"milliseconds since 1970, of a sink", events.TypeFeatures,
			`{"trip_id":"t","picked_up_at":"1451896200000","features":{}}`,
			&events.Features{TripID: "t", PickedUpAt: atEight, Features: map[string]float64{}},
		},
		{
			"seconds since 1970, of a sink", events.TypeFeatures,
			`{"trip_id":"t","picked_up_at":"1451897527.500","features":{}}`,
			&events.Features{TripID: "t", PickedUpAt: atNine, Features: map[string]float64{}},
		},
		{
			"a time with an offset", events.TypeDroppedOff,
			`{"trip_id":"t","dropped_off_at":"2016-01-04T03:52:07.5-05:00"}`,
			&events.DropOff{TripID: "t", DroppedOffAt: atNine},
		},
		{
			"a label whose features are all null", events.TypeLabel,
			`{"trip_id":"t","features":{"a":null},"duration_s":1}` + "\n",
			&events.Label{TripID: "t", Features: map[string]float64{}, DurationS: 1},
		},
	} {
		got, err := events.Decode(eventOf(test.typ, test.document))
		if err != nil || !reflect.DeepEqual(got, test.want) {
			t.Errorf("%s: got %+v, %v\nwant %+v", test.name, got, err, test.want)
		}
	}
}

func TestDecodeRefuses(t *testing.T) {
	valid := `{"trip_id":"t","features":{"a":1},"duration_s":1}`
	if _, err := events.Decode(eventOf(events.TypeLabel, valid)); err != nil {
		t.Fatal(err)
	}
	padded := valid[:len(valid)-1] + strings.Repeat(" ", events.MaxDataBytes-len(valid)) + "}"
	if _, err := events.Decode(eventOf(events.TypeLabel, padded)); err != nil {
		t.Fatalf("%d bytes: %v", len(padded), err)
	}
	for _, test := range []struct{ name, typ, document, field string }{
		{"an unknown type", "boson.fn", valid, "type"},
		{"no type", "", valid, "type"},
		{"a type that says nothing of its data", events.TypeKafka, valid, "type"},
		{"no data", events.TypeLabel, "", "data"},
		{"a byte too many", events.TypeLabel, padded + " ", "data"},
		{"text", events.TypeLabel, "hello", "data"},
		{"an array", events.TypeLabel, "[" + valid + "]", "data"},
		{"what follows the document", events.TypeLabel, valid + valid, "data"},
		{"half a document", events.TypeLabel, valid[:len(valid)-1], "data"},
		{"NaN", events.TypeLabel, strings.Replace(valid, `"a":1`, `"a":NaN`, 1), "features.a"},
		{"infinity", events.TypeLabel, strings.Replace(valid, `"a":1`, `"a":1e999`, 1), "features.a"},
		{"a syntax error", events.TypeLabel, strings.Replace(valid, `_s":1`, `_s":+1`, 1), "duration_s"},
		{"a champion that made none", events.TypePrediction, replaced(t, prediction(), "champion", `"forest"`), "champion"},
		{"a duplicate that has no version", events.TypeLearned, replaced(t, learned(), "duplicate", `{"forest":true}`), "duplicate"},
		{"more features than allowed", events.TypePrediction, replaced(t, prediction(), "features", manyJSON(513, `1`)), "features"},
	} {
		payload, err := events.Decode(eventOf(test.typ, test.document))
		wantField(t, test.name, err, test.field)
		if payload != nil {
			t.Errorf("%s: got a payload with the error: %+v", test.name, payload)
		}
	}
}

func TestDecodeErrorSaysWhere(t *testing.T) {
	_, err := events.DecodeLabel(eventOf(events.TypeLabel, `{"trip_id":"t","features":{"a":1,"b":"far"},"duration_s":1}`))
	if want := "events: features.b: string at byte 42 is no finite number"; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
	_, err = events.DecodeLabel(eventOf(events.TypeLabel, `{"trip_id":"t","features":{"a":x}}`))
	if err == nil || !strings.Contains(err.Error(), "features.a: ") || !strings.HasSuffix(err.Error(), " at byte 32") {
		t.Errorf("got %v", err)
	}
}

// A decoder takes its own type, and TypeKafka where Materialize may have
// written the record; nothing else.
func TestDecodersCheckTheType(t *testing.T) {
	decoders := map[string]func(event.Event) error{
		events.TypePickedUp:   func(e event.Event) error { _, err := events.DecodePickUp(e); return err },
		events.TypeDroppedOff: func(e event.Event) error { _, err := events.DecodeDropOff(e); return err },
		events.TypeFeatures:   func(e event.Event) error { _, err := events.DecodeFeatures(e); return err },
		events.TypePrediction: func(e event.Event) error { _, err := events.DecodePrediction(e); return err },
		events.TypeLabel:      func(e event.Event) error { _, err := events.DecodeLabel(e); return err },
		events.TypeProposal:   func(e event.Event) error { _, err := events.DecodeProposal(e); return err },
		events.TypeDecision:   func(e event.Event) error { _, err := events.DecodeDecision(e); return err },
		events.TypeLearned:    func(e event.Event) error { _, err := events.DecodeLearned(e); return err },
	}
	for _, p := range payloads() {
		e, err := events.Encode(p)
		if err != nil {
			t.Fatal(err)
		}
		for typ, decode := range decoders {
			err := decode(e)
			if typ == p.Type() {
				if err != nil {
					t.Errorf("%s: %v", typ, err)
				}
				continue
			}
			wantField(t, p.Type()+" read as "+typ, err, "type")
		}
		e.SetType(events.TypeKafka)
		err = decoders[p.Type()](e)
		if p.Type() == events.TypeFeatures || p.Type() == events.TypeLabel || p.Type() == events.TypeProposal {
			if err != nil {
				t.Errorf("%s as %s: %v", p.Type(), events.TypeKafka, err)
			}
			continue
		}
		wantField(t, p.Type()+" as "+events.TypeKafka, err, "type")
	}
	if _, err := events.Decode(event.Event{}); err == nil {
		t.Error("an event without a context is decoded")
	}
}

func TestIsRetraction(t *testing.T) {
	if !events.IsRetraction(eventOf(events.TypeLabel, "")) {
		t.Error("an event without data is none")
	}
	if events.IsRetraction(eventOf(events.TypeLabel, "{}")) {
		t.Error("an event with data is one")
	}
}

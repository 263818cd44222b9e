package events_test

import (
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/cloudevents/sdk-go/v2/event"

	"tripcast.dev/events"
)

func TestToRecord(t *testing.T) {
	e, err := events.Encode(dropOff())
	if err != nil {
		t.Fatal(err)
	}
	e.SetExtension("attempt", 3)
	r, err := events.ToRecord(e)
	if err != nil {
		t.Fatal(err)
	}
	want := events.Record{
		Key:   []byte("id2875421"),
		Value: []byte(`{"trip_id":"id2875421","dropped_off_at":"2016-01-04T08:52:07.5Z"}`),
		Headers: headers(
			"ce_specversion", "1.0",
			"ce_id", "id2875421",
			"ce_source", "/tripcast/drop_offs",
			"ce_type", "dev.tripcast.trip.dropped-off.v1",
			"ce_subject", "id2875421",
			"ce_time", "2016-01-04T08:52:07.5Z",
			"ce_attempt", "3",
			"ce_partitionkey", "id2875421",
			"content-type", "application/json",
		),
	}
	if !reflect.DeepEqual(r, want) {
		t.Errorf("got  %s\nwant %s", r, want)
	}
}

// headers makes headers of names and values in turn.
func headers(namesAndValues ...string) []events.Header {
	var out []events.Header
	for i := 0; i < len(namesAndValues); i += 2 {
		out = append(out, events.Header{Key: namesAndValues[i], Value: []byte(namesAndValues[i+1])})
	}
	return out
}

func TestRecordsRoundTrip(t *testing.T) {
	all := []event.Event{eventOf("a.type", ""), eventOf(events.TypeLabel, "")}
	for _, p := range payloads() {
		e, err := events.Encode(p)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, e)
	}
	described := eventOf("a.type", "x")
	described.SetDataSchema("https://tripcast.dev/events/schemas/label.json")
	described.SetDataContentType("text/plain")
	described.SetSubject("naïve")
	described.SetTime(atNine)
	described.SetExtension("empty", "")
	all = append(all, described)
	for _, e := range all {
		r, err := events.ToRecord(e)
		if err != nil {
			t.Fatalf("%s: %v", e, err)
		}
		if len(e.Data()) == 0 && r.Value != nil {
			t.Errorf("%s: no data should be a tombstone, got %q", e, r.Value)
		}
		got, err := events.FromRecord(r)
		if err != nil || !reflect.DeepEqual(got, e) {
			t.Errorf("got %#v, %v\nwant %#v", got, err, e)
		}
	}
}

func TestToRecordRefuses(t *testing.T) {
	for field, edit := range map[string]func(*event.Event){
		"specversion":     func(e *event.Event) { e.Context = nil },
		"id":              func(e *event.Event) { e.Context = &event.EventContextV1{Type: "t"} },
		"source":          func(e *event.Event) { e.Context = &event.EventContextV1{ID: "1", Type: "t"} },
		"type":            func(e *event.Event) { e.Context.(*event.EventContextV1).Type = "" },
		"subject":         func(e *event.Event) { e.SetSubject("a\nb") },
		"note":            func(e *event.Event) { e.SetExtension("note", "\xff") },
		"datacontenttype": func(e *event.Event) { e.SetDataContentType("text/plain\r\nx: y") },
	} {
		e := eventOf("a.type", "x")
		edit(&e)
		r, err := events.ToRecord(e)
		wantField(t, field, err, field)
		if r.Headers != nil {
			t.Errorf("%s: got headers with the error", field)
		}
	}
}

func TestFromRecord(t *testing.T) {
	// As a sink of Materialize writes it: no subject, a header of its own, names in any case.
	r := events.Record{
		Key: []byte("id2875421"),
		Headers: headers("ce_specversion", "1.0", "CE_ID", "id2875421", "ce_type", events.TypeLabel, "ce_source", "/tripcast/labels",
			"ce_subject", "", "Content-Type", "application/json", "materialize-timestamp", "1451896200000", "ce_datacontenttype", "text/plain"),
		Value: []byte(`{"trip_id":"id2875421","features":{},"duration_s":9}`),
	}
	e, err := events.FromRecord(r)
	if err != nil {
		t.Fatal(err)
	}
	got := []string{e.ID(), e.Type(), e.Source(), e.Subject(), e.DataContentType()}
	if want := []string{"id2875421", events.TypeLabel, "/tripcast/labels", "", "application/json"}; !reflect.DeepEqual(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if len(e.Extensions()) != 0 {
		t.Errorf("got extensions %v", e.Extensions())
	}
	if l, err := events.DecodeLabel(e); err != nil || l.DurationS != 9 {
		t.Errorf("got %+v, %v", l, err)
	}

	for name, value := range map[string][]byte{"nil": nil, "empty": {}} {
		r.Value = value
		if e, err = events.FromRecord(r); err != nil || !events.IsRetraction(e) || e.ID() != "id2875421" {
			t.Errorf("%s: got %v, %v, want a retraction", name, e, err)
		}
	}
}

func TestFromRecordRefuses(t *testing.T) {
	binary := func(changes ...string) events.Record {
		values := map[string]string{"ce_specversion": "1.0", "ce_id": "1", "ce_source": "/test", "ce_type": "a.type"}
		for i := 0; i < len(changes); i += 2 {
			values[changes[i]] = changes[i+1]
		}
		var r events.Record
		for name, value := range values {
			if value != "none" {
				r.Headers = append(r.Headers, headers(name, value)...)
			}
		}
		return r
	}
	if _, err := events.FromRecord(binary()); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		field  string
		record events.Record
	}{
		{"specversion", binary("ce_specversion", "none")},
		{"specversion", binary("ce_specversion", "0.3")},
		{"specversion", binary("ce_specversion", "")},
		{"id", binary("ce_id", "none")},
		{"id", binary("ce_id", "")},
		{"id", binary("ce_id", "a\x00")},
		{"source", binary("ce_source", "none")},
		{"source", binary("ce_source", ":")},
		{"type", binary("ce_type", "none")},
		{"time", binary("ce_time", "today")},
		{"time", binary("ce_time", "9999-12-31T23:59:59-01:00")},
		{"dataschema", binary("ce_dataschema", "%zz")},
		{"subject", binary("ce_subject", "\xc3\x28")},
		{"my-extension", binary("ce_my-extension", "x")},
		{"", binary("ce_", "x")},
		{"data", binary("ce_data", "x")},
		{"content-type", binary("content-type", "application/cloudevents+avro")},
		{"content-type", binary("content-type", "application/cloudevents-batch+json")},
		{"data", binary("content-type", "application/cloudevents+json")},
	} {
		_, err := events.FromRecord(test.record)
		wantField(t, test.field, err, test.field)
	}
	for _, r := range []events.Record{
		{},
		{Key: []byte("k"), Value: []byte(`{"id":"1","specversion":"1.0"}`)},
		{Headers: headers("content-type", "application/json", "traceparent", "00-1-1-01", "ceid", "1")},
	} {
		if _, err := events.FromRecord(r); !errors.Is(err, events.ErrNotCloudEvent) {
			t.Errorf("%v: got %v, want ErrNotCloudEvent", r.Headers, err)
		}
	}
}

func TestFromRecordStructured(t *testing.T) {
	r := events.Record{
		Headers: headers("content-type", "Application/CloudEvents+JSON; charset=UTF-8"),
		Value: []byte(`{"specversion":"1.0","id":"t","source":"/test","type":"` + events.TypeLabel + `","time":"2016-01-04T03:30:00-05:00",
			"subject":null,"attempt":3,"replayed":true,"data":{"trip_id":"t","features":{},"duration_s":9}}`),
	}
	e, err := events.FromRecord(r)
	if err != nil {
		t.Fatal(err)
	}
	if e.ID() != "t" || !e.Time().Equal(atEight) || e.Subject() != "" {
		t.Errorf("got %s", e)
	}
	if got, want := e.Extensions(), map[string]any{"attempt": int32(3), "replayed": true}; !reflect.DeepEqual(got, want) {
		t.Errorf("got extensions %v, want %v", got, want)
	}
	if l, err := events.DecodeLabel(e); err != nil || l.DurationS != 9 {
		t.Errorf("got %+v, %v", l, err)
	}
}

func TestParseStructuredAgreesWithTheSDK(t *testing.T) {
	all := []event.Event{eventOf("a.type", "")}
	for _, p := range payloads() {
		e, err := events.Encode(p)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, e)
	}
	text, bytes := eventOf("a.type", `a "quoted" text`), eventOf("a.type", "\x00\xff")
	text.SetDataContentType("text/plain")
	bytes.DataBase64 = true
	all = append(all, text, bytes)
	for _, e := range all {
		document, err := e.MarshalJSON()
		if err != nil {
			t.Fatal(err)
		}
		got, err := events.ParseStructured(document)
		if err != nil {
			t.Fatalf("%s: %v", document, err)
		}
		var want event.Event
		if err := want.UnmarshalJSON(document); err != nil {
			t.Fatal(err)
		}
		if got.String() != want.String() || string(got.Data()) != string(e.Data()) || got.DataBase64 != want.DataBase64 {
			t.Errorf("got %s\nwant %s", got, want)
		}
	}
}

func TestParseStructuredRefuses(t *testing.T) {
	valid := `{"specversion":"1.0","id":"1","source":"/test","type":"a.type"}`
	if _, err := events.ParseStructured([]byte(valid)); err != nil {
		t.Fatal(err)
	}
	with := func(members string) string { return strings.TrimSuffix(valid, "}") + "," + members + "}" }
	for _, test := range []struct{ field, document string }{
		{"data", ``},
		{"data", `null x`},
		{"data", valid + valid},
		{"data", `[` + valid + `]`},
		{"specversion", `{"id":"1","source":"/test","type":"a.type"}`},
		{"specversion", `null`},
		{"specversion", with(`"specversion":"0.3"`)},
		{"specversion", with(`"specversion":1.0`)},
		{"id", with(`"id":null,"id":1`)},
		{"id", with(`"id":""`)},
		{"source", with(`"source":":"`)},
		{"type", with(`"type":true`)},
		{"time", with(`"time":"today"`)},
		{"subject", with(`"subject":{}`)},
		{"attempt", with(`"attempt":1.5`)},
		{"attempt", with(`"attempt":2147483648`)},
		{"attempt", with(`"attempt":["x"]`)},
		{"my_extension", with(`"my_extension":"x"`)},
		{"data", with(`"data":1,"data_base64":"AA=="`)},
		{"data", with(`"datacontenttype":"text/plain","data":1`)},
		{"data_base64", with(`"data_base64":5`)},
		{"data_base64", with(`"data_base64":"*"`)},
	} {
		_, err := events.ParseStructured([]byte(test.document))
		wantField(t, test.document, err, test.field)
	}
}

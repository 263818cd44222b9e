package trail

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/twmb/franz-go/pkg/kgo"

	"tripcast.dev/events"
)

func headers(pairs ...string) []kgo.RecordHeader {
	var out []kgo.RecordHeader
	for i := 0; i < len(pairs); i += 2 {
		out = append(out, kgo.RecordHeader{Key: pairs[i], Value: []byte(pairs[i+1])})
	}
	return out
}

func TestAttributes(t *testing.T) {
	for _, c := range []struct {
		name, value string
		headers     []kgo.RecordHeader
		want        string
	}{
		{
			"in the order of the specification", "{}", headers(
				"ce_zeta", "1", "ce_alpha", "2", "ce_dataschema", "s", "content-type", "application/json", "ce_time", "t",
				"ce_subject", "x", "ce_type", "y", "ce_specversion", "1.0", "ce_source", "/s", "ce_id", "i"),
			"id=i source=/s specversion=1.0 type=y subject=x time=t datacontenttype=application/json dataschema=s alpha=2 zeta=1",
		},
		{"wrong ones, too", "{}", headers("ce_time", "yesterday", "ce_id", "i"), "id=i time=yesterday"},
		{"whatever their case", "{}", headers("CE_Id", "i", "Content-Type", "text/plain"), "id=i datacontenttype=text/plain"},
		{"the last counts", "{}", headers("ce_id", "i", "ce_id", "j"), "id=j"},
		{"no UTF-8", "{}", headers("ce_id", "\xff"), "id=\uFFFD"},
		{"datacontenttype is the content type", "{}", headers("ce_id", "i", "ce_datacontenttype", "x"), "id=i"},
		{"none of an event", "{}", headers("content-type", "application/json", "traceparent", "00"), ""},
		{
			"structured", `{"specversion":"1.0","id":"i","source":"/s","type":"y","n":5,"data":1}`,
			headers("content-type", event.ApplicationCloudEventsJSON, "ce_id", "header"),
			"id=i source=/s specversion=1.0 type=y n=5",
		},
		{"structured in a format that is not read", "<xml/>", headers("content-type", "application/cloudevents+xml", "ce_id", "i"), ""},
		{
			"structured without data", `{"specversion":"1.0","id":"i","source":"/s","type":"y"}`,
			headers("content-type", event.ApplicationCloudEventsJSON), "id=i source=/s specversion=1.0 type=y",
		},
	} {
		e := eventOf(&kgo.Record{Value: []byte(c.value), Headers: c.headers})
		var got []string
		for _, a := range e.Attributes {
			got = append(got, a.Name+"="+a.Value)
		}
		if s := strings.Join(got, " "); s != c.want {
			t.Errorf("%s: %q, want %q", c.name, s, c.want)
		}
		if e.Retraction != (c.name == "structured without data") {
			t.Errorf("%s: retraction is %v", c.name, e.Retraction)
		}
	}
}

// An event keeps nothing of the batch that its record came in.
func TestEventIsACopy(t *testing.T) {
	value := []byte("abc")
	e := eventOf(&kgo.Record{Value: value})
	value[0] = 'x'
	if string(e.Data) != "abc" {
		t.Errorf("the data is %s", e.Data)
	}
}

func FuzzEvent(f *testing.F) {
	f.Add("content-type", "application/json", "ce_id", "i", "ce_type", "t", []byte(`{}`), "i")
	f.Add("content-type", "application/cloudevents+json", "ce_id", "i", "CE_ID", "j", []byte(`{"specversion":"1.0","id":"i","source":"/s","type":"y","data":{}}`), "i")
	f.Add("Content-Type", "application/cloudevents+json; charset=x", "", "", "ce_", "", []byte(`{"data_base64":"!"}`), "")
	f.Add("ce_knativeerrordata", "aGVsbG8=", "ce_subject", "a", "ce_partitionkey", "\xff", []byte(nil), "a")
	f.Fuzz(func(t *testing.T, k1, v1, k2, v2, k3, v3 string, value []byte, trip string) {
		r := &kgo.Record{Topic: events.TopicPickUps, Value: value, Headers: headers(k1, v1, k2, v2, k3, v3)}
		e := eventOf(r)
		names := make(map[string]bool)
		for _, a := range e.Attributes {
			if names[a.Name] {
				t.Errorf("%q is there twice", a.Name)
			}
			names[a.Name] = true
			if !utf8.ValidString(a.Name) || !utf8.ValidString(a.Value) {
				t.Errorf("%q=%q is not UTF-8", a.Name, a.Value)
			}
		}
		if !slices.IsSortedFunc(e.Attributes, bySpecification) {
			t.Errorf("%v is in no order", e.Attributes)
		}
		if e.Retraction != (len(e.Data) == 0) {
			t.Errorf("retraction is %v with %d bytes", e.Retraction, len(e.Data))
		}
		_ = concerns(r, trip)
		_ = newest([]Event{e}, 1)
		sameAsFunctions(t, r, e)
	})
}

// sameAsFunctions holds what is shown against what the functions read, where
// they can read it.
func sameAsFunctions(t *testing.T, r *kgo.Record, shown Event) {
	t.Helper()
	record := events.Record{Key: r.Key, Value: r.Value}
	for _, h := range r.Headers {
		record.Headers = append(record.Headers, events.Header(h))
	}
	read, err := events.FromRecord(record)
	if err != nil {
		return
	}
	attributes, err := events.Attributes(read)
	if err != nil {
		t.Fatal(err)
	}
	got, want := make(map[string]string), make(map[string]string)
	for _, a := range shown.Attributes {
		if a.Value != "" { // an empty one is none
			got[a.Name] = a.Value
		}
	}
	for _, a := range attributes {
		if a.Value != "" {
			want[a.Name] = a.Value
		}
	}
	// The functions write a time and a URI in their own way.
	for _, m := range []map[string]string{got, want} {
		delete(m, "time")
		delete(m, "source")
		delete(m, "dataschema")
	}
	if !maps.Equal(got, want) {
		t.Errorf("shown are %v, and functions read %v", got, want)
	}
	if string(shown.Data) != string(read.Data()) {
		t.Errorf("shown is %q, and functions read %q", shown.Data, read.Data())
	}
}

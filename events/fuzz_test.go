package events_test

import (
	"bytes"
	"errors"
	"reflect"
	"testing"

	"github.com/cloudevents/sdk-go/v2/event"

	"tripcast.dev/events"
)

// FuzzDecode holds every decoder to this: it returns a payload that Validate
// takes, or an InvalidError, and what it returns survives encoding.
func FuzzDecode(f *testing.F) {
	for _, p := range payloads() {
		e, err := events.Encode(p)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(p.Type(), e.Data())
	}
	f.Add(events.TypeFeatures, []byte(`{"trip_id":"t","picked_up_at":"1451896200.5","features":{"a":null,"é":1e-300,"":-0}}`))
	f.Add(events.TypeLabel, []byte(`{"trip_id":"t","features":{"a":x}}`))
	f.Add(events.TypeLabel, []byte(`[[{}],"a",{"b":[1]}]`))
	f.Add(events.TypeLearned, []byte(`{"trip_id":"t","versions":{},"duplicate":{}}`))
	f.Fuzz(func(t *testing.T, typ string, data []byte) {
		e := event.Event{Context: &event.EventContextV1{Type: typ}, DataEncoded: data}
		p, err := events.Decode(e)
		if err != nil {
			wantInvalid(t, err)
			return
		}
		if err := p.Validate(); err != nil {
			t.Fatalf("decoded what Validate refuses: %v", err)
		}
		encoded, err := events.Encode(p)
		if err != nil {
			t.Fatalf("decoded what Encode refuses: %v", err)
		}
		again, err := events.Decode(encoded)
		if err != nil || !reflect.DeepEqual(again, p) {
			t.Fatalf("got back %+v, %v\nwant %+v", again, err, p)
		}
	})
}

// FuzzFromRecord holds FromRecord to an error of its own or an event that
// survives a record.
func FuzzFromRecord(f *testing.F) {
	for _, p := range payloads() {
		e, err := events.Encode(p)
		if err != nil {
			f.Fatal(err)
		}
		r, err := events.ToRecord(e)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(headerLines(r.Headers), r.Value)
		document, err := e.MarshalJSON()
		if err != nil {
			f.Fatal(err)
		}
		f.Add([]byte("content-type\tapplication/cloudevents+json"), document)
	}
	f.Add([]byte("ce_specversion\t1.0\nce_id\t1\nce_source\thttp://[::1%25a]:1/?#%20\nce_type\tt\nce_dataschema\tx\nce_x\t"), []byte(nil))
	f.Add([]byte("content-type\tapplication/cloudevents+json"), []byte(`{"data_base64":5,"specversion":"1.0"}`))
	f.Fuzz(func(t *testing.T, lines, value []byte) {
		r := events.Record{Value: value}
		for line := range bytes.SplitSeq(lines, []byte("\n")) {
			name, text, _ := bytes.Cut(line, []byte("\t"))
			r.Headers = append(r.Headers, events.Header{Key: string(name), Value: text})
		}
		e, err := events.FromRecord(r)
		if err != nil {
			if !errors.Is(err, events.ErrNotCloudEvent) {
				wantInvalid(t, err)
			}
			return
		}
		once, err := events.ToRecord(e)
		if err != nil {
			t.Fatalf("read what ToRecord refuses: %v\n%s", err, e)
		}
		again, err := events.FromRecord(once)
		if err != nil {
			t.Fatalf("wrote what FromRecord refuses: %v\n%s", err, e)
		}
		twice, err := events.ToRecord(again)
		if err != nil || !reflect.DeepEqual(once, twice) {
			t.Fatalf("got %s, %v\nwant %s", twice, err, once)
		}
	})
}

func headerLines(headers []events.Header) []byte {
	var lines [][]byte
	for _, h := range headers {
		lines = append(lines, append([]byte(h.Key+"\t"), h.Value...))
	}
	return bytes.Join(lines, []byte("\n"))
}

func wantInvalid(t *testing.T, err error) {
	t.Helper()
	var invalid *events.InvalidError
	if !errors.As(err, &invalid) || invalid.Reason == "" {
		t.Fatalf("got %v, want an InvalidError", err)
	}
}

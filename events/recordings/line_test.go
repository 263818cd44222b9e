package recordings_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"tripcast.dev/events"
	"tripcast.dev/events/recordings"
)

var arrival = time.Date(2016, 1, 4, 8, 30, 0, 250e6, time.UTC)

// recordOf is a record of the topic pick_ups, its headers in turn: a name and a
// value. Nil is a header without a value.
func recordOf(key, value []byte, headers ...any) recordings.Record {
	r := recordings.Record{Topic: "pick_ups", Partition: 2, Offset: 41, At: arrival, Record: events.Record{Key: key, Value: value}}
	for i := 0; i < len(headers); i += 2 {
		h := events.Header{Key: headers[i].(string)}
		if text, ok := headers[i+1].(string); ok {
			h.Value = []byte(text)
		}
		r.Headers = append(r.Headers, h)
	}
	return r
}

// binary are the headers of an event, and others.
func binary(others ...any) []any {
	return append([]any{"ce_specversion", "1.0", "ce_id", "7", "ce_source", "/test", "ce_type", "a.type"}, others...)
}

// write records what there is, and returns the file's name.
func write(t *testing.T, name string, all ...recordings.Record) string {
	t.Helper()
	name = filepath.Join(t.TempDir(), name)
	w, err := recordings.Create(name, recordings.WriterOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range all {
		if err := w.Write(r); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return name
}

// read reads a file up to its error.
func read(t *testing.T, name string) ([]recordings.Record, error) {
	t.Helper()
	r, err := recordings.Open(name)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return collect(r)
}

func collect(r *recordings.Reader) (all []recordings.Record, err error) {
	for record, err := range r.Records() {
		if err != nil {
			return all, err
		}
		all = append(all, record)
	}
	return all, nil
}

// wantSame compares records, whose headers are a set.
func wantSame(t *testing.T, got, want []recordings.Record) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%d records, want %d", len(got), len(want))
	}
	for i := range want {
		if g, w := canonical(got[i]), canonical(want[i]); !reflect.DeepEqual(g, w) {
			t.Fatalf("record %d is\n%#v, want\n%#v", i, g, w)
		}
	}
}

func canonical(r recordings.Record) recordings.Record {
	r.Headers = slices.Clone(r.Headers)
	slices.SortFunc(r.Headers, func(a, b events.Header) int { return strings.Compare(fmt.Sprintf("%#v", a), fmt.Sprintf("%#v", b)) })
	if len(r.Headers) == 0 {
		r.Headers = nil
	}
	return r
}

// TestLine holds the format: recordings outlive the code that wrote them.
func TestLine(t *testing.T) {
	const event = `{"specversion":"1.0","id":"7","source":"/test","type":"a.type"`
	const place = `"kafkatopic":"pick_ups","kafkapartition":2,"kafkaoffset":"41","recordedtime":"2016-01-04T08:30:00.250Z"`
	const wrapped = `{"specversion":"1.0","id":"pick_ups/2/41","source":"/tripcast/recordings","type":"dev.tripcast.record.v1","datacontenttype":"application/json",` + place + `,"data":`
	const headers = `{"key":"ce_specversion","value":"MS4w"},{"key":"ce_id","value":"Nw=="},{"key":"ce_source","value":"L3Rlc3Q="},{"key":"ce_type","value":"YS50eXBl"}`
	key := []byte("k")
	tests := []struct {
		name   string
		record recordings.Record
		want   string
	}{
		{
			"every attribute",
			recordOf(key, []byte(`{"a": "<é>"}`), binary("content-type", "application/json; charset=utf-8", "ce_partitionkey", "k", "ce_subject", "s",
				"ce_time", "2016-01-04T08:30:00.5Z", "ce_dataschema", "http://a/b", "ce_attempt", "3", "ce_empty", "")...),
			`{"specversion":"1.0","id":"7","source":"/test","type":"a.type","subject":"s","time":"2016-01-04T08:30:00.5Z","dataschema":"http://a/b",` +
				`"datacontenttype":"application/json; charset=utf-8","attempt":"3","empty":"","partitionkey":"k",` + place + `,"data":{"a": "<é>"}}`,
		},
		{"a tombstone", recordOf(nil, nil, binary()...), event + `,` + place + `}`},
		{
			"other headers", recordOf(nil, nil, binary("traceparent", `"00"`, "none", nil, "empty", "", "traceparent", "2")...),
			event + `,` + place + `,"kafkaheaders":"[[\"traceparent\",\"\\\"00\\\"\"],[\"none\",null],[\"empty\",\"\"],[\"traceparent\",\"2\"]]"}`,
		},
		{"no content type", recordOf(nil, []byte("[1]"), binary()...), event + `,` + place + `,"data":[1]}`},
		{"text", recordOf(nil, []byte("[1]"), binary("content-type", "text/plain")...), event + `,"datacontenttype":"text/plain",` + place + `,"data_base64":"WzFd"}`},
		{"malformed JSON", recordOf(nil, []byte("{"), binary("content-type", "application/json")...), event + `,"datacontenttype":"application/json",` + place + `,"data_base64":"ew=="}`},
		{"null", recordOf(nil, []byte("null"), binary()...), event + `,` + place + `,"data_base64":"bnVsbA=="}`},
		{"JSON of two lines", recordOf(nil, []byte("[\n]"), binary()...), event + `,` + place + `,"data_base64":"Wwpd"}`},
		{"JSON that is no text", recordOf(nil, []byte("\"\xff\""), binary()...), event + `,` + place + `,"data_base64":"Iv8i"}`},
		{"space around JSON", recordOf(nil, []byte(" 1"), binary()...), wrapped + `{"key":null,"value":"IDE=","headers":[` + headers + `]}}`},

		{"nothing", recordOf(nil, nil), wrapped + `{"key":null,"value":null,"headers":[]}}`},
		{"empty", recordOf([]byte{}, []byte{}), wrapped + `{"key":"","value":"","headers":[]}}`},
		{"no event", recordOf(key, []byte("v"), "a", "1", "a", nil, "\xff", ""), wrapped + `{"key":"aw==","value":"dg==","headers":[{"key":"a","value":"MQ=="},{"key":"a","value":null},{"key":"","key_base64":"/w==","value":""}]}}`},
		{"a key of its own", recordOf(key, nil, binary()...), wrapped + `{"key":"aw==","value":null,"headers":[` + headers + `]}}`},
		{"an empty value", recordOf(nil, []byte{}, binary()...), wrapped + `{"key":null,"value":"","headers":[` + headers + `]}}`},
		{"a header twice", recordOf(nil, nil, binary("ce_id", "7")...), wrapped + `{"key":null,"value":null,"headers":[` + headers + `,{"key":"ce_id","value":"Nw=="}]}}`},
		{"a header in capitals", recordOf(nil, nil, binary("ce_X", "")...), wrapped + `{"key":null,"value":null,"headers":[` + headers + `,{"key":"ce_X","value":""}]}}`},
		{"a header that is no text", recordOf(nil, nil, binary("a", "\xff")...), wrapped + `{"key":null,"value":null,"headers":[` + headers + `,{"key":"a","value":"/w=="}]}}`},
		{"a header that JSON does not quote", recordOf(nil, nil, binary("a", "\x7f")...), wrapped + `{"key":null,"value":null,"headers":[` + headers + `,{"key":"a","value":"fw=="}]}}`},
		{"an extension of ours", recordOf(nil, nil, binary("ce_kafkatopic", "x")...), wrapped + `{"key":null,"value":null,"headers":[` + headers + `,{"key":"ce_kafkatopic","value":"eA=="}]}}`},
		{"a time that is written otherwise", recordOf(nil, nil, binary("ce_time", "2016-01-04T08:30:00.0Z")...), wrapped + `{"key":null,"value":null,"headers":[` + headers + `,{"key":"ce_time","value":"MjAxNi0wMS0wNFQwODozMDowMC4wWg=="}]}}`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			name := write(t, "r.jsonl", tt.record)
			text, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			if string(text) != tt.want+"\n" {
				t.Errorf("the line is\n%swant\n%s", text, tt.want)
			}
			got, err := read(t, name)
			if err != nil {
				t.Fatal(err)
			}
			wantSame(t, got, []recordings.Record{tt.record})
		})
	}
}

// A record may itself be what a recording wraps records in, or a whole line.
func TestRecordOfARecording(t *testing.T) {
	line, err := os.ReadFile(write(t, "r.jsonl", recordOf([]byte("k"), []byte("v"))))
	if err != nil {
		t.Fatal(err)
	}
	_, data, _ := bytes.Cut(line, []byte(`"data":`))
	imitation := recordOf(nil, bytes.TrimSuffix(data, []byte("}\n")),
		"ce_specversion", "1.0", "ce_id", "pick_ups/2/41", "ce_source", "/tripcast/recordings", "ce_type", recordings.TypeRecord, "content-type", "application/json")
	structured := recordOf(nil, bytes.TrimSpace(line), "content-type", "application/cloudevents+json")
	structured.Offset++
	want := []recordings.Record{imitation, structured}
	got, err := read(t, write(t, "again.jsonl", want...))
	if err != nil {
		t.Fatal(err)
	}
	wantSame(t, got, want)
}

func FuzzRecord(f *testing.F) {
	f.Add([]byte("k"), []byte(`{"a":1}`), []byte("ce_specversion=1.0\nce_id=1\nce_source=/s\nce_type=t\nce_partitionkey=k\ncontent-type=application/json\ntraceparent=0"), uint8(0), int64(41), int64(1451896200250))
	f.Add([]byte{}, []byte(" null"), []byte("ce_specversion=1.0\nce_id=1\nce_source=http://[::1%25a]:1/?#%20\nce_type=t\nce_id=1\ncontent-type=text/plain\na"), uint8(1), int64(1)<<62, int64(-1))
	f.Add([]byte("\xff"), []byte("\x00"), []byte("\xff=\xff\n=\na=\x7f\nce_é=1"), uint8(2), int64(0), int64(1)<<40)
	f.Add([]byte(nil), []byte(`{"key":null,"value":null,"headers":[]}`), []byte("ce_specversion=1.0\nce_id=1\nce_source=/tripcast/recordings\nce_type=dev.tripcast.record.v1"), uint8(5), int64(0), int64(0))
	f.Fuzz(func(t *testing.T, key, value, headers []byte, nils uint8, offset, at int64) {
		r := recordings.Record{Topic: "t", Partition: 1, Offset: max(0, offset), At: time.UnixMilli(at % 1e14).UTC(), Record: events.Record{Key: key, Value: value}}
		if nils&1 != 0 {
			r.Key = nil
		}
		if nils&2 != 0 {
			r.Value = nil
		}
		for line := range bytes.SplitSeq(headers, []byte("\n")) {
			name, text, valued := bytes.Cut(line, []byte("="))
			h := events.Header{Key: string(name)}
			if valued {
				h.Value = text
			}
			r.Headers = append(r.Headers, h)
		}
		if nils&4 != 0 {
			r.Headers = nil
		}
		text, err := recordings.Compose(r)
		if err != nil || bytes.Count(text, []byte("\n")) != 1 {
			t.Fatalf("error %v, the line is\n%s", err, text)
		}
		reader, err := recordings.NewReader(bytes.NewReader(text), "r.jsonl")
		if err != nil {
			t.Fatal(err)
		}
		got, err := collect(reader)
		if err != nil {
			t.Fatalf("error %v, the line is\n%s", err, text)
		}
		wantSame(t, got, []recordings.Record{r})
	})
}

package eventing

import (
	"bytes"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/twmb/franz-go/pkg/kgo"

	"tripcast.dev/infra/knative/manifest"
)

func TestPercentEncoding(t *testing.T) {
	for _, c := range []struct{ plain, encoded string }{
		{"", ""},
		{"trip-7", "trip-7"},
		{"a b", "a%20b"},
		{`"50%"`, "%2250%25%22"},
		{"Euro €", "Euro%20%E2%82%AC"},
		{"line\r\nbreak\x7f", "line%0D%0Abreak%7F"},
	} {
		if got := percentEncode(c.plain); got != c.encoded {
			t.Errorf("encode %q: %q, want %q", c.plain, got, c.encoded)
		}
		if got := percentDecode(c.encoded); got != c.plain {
			t.Errorf("decode %q: %q, want %q", c.encoded, got, c.plain)
		}
	}
	for _, lenient := range []string{"100%", "%", "%2", "%zz", "5%+6%"} {
		if got := percentDecode(lenient); got != lenient {
			t.Errorf("decode %q: %q, want it as it is", lenient, got)
		}
	}
}

func TestWait(t *testing.T) {
	exponential := delivery{Backoff: 300 * time.Millisecond}
	linear := delivery{Backoff: 300 * time.Millisecond, Linear: true}
	for n, want := range map[int]time.Duration{1: 300 * time.Millisecond, 2: 600 * time.Millisecond, 3: 1200 * time.Millisecond, 10: 153600 * time.Millisecond} {
		if got := exponential.wait(n); got != want {
			t.Errorf("exponential, retry %d: %v, want %v", n, got, want)
		}
	}
	for n, want := range map[int]time.Duration{1: 300 * time.Millisecond, 2: 600 * time.Millisecond, 3: 900 * time.Millisecond} {
		if got := linear.wait(n); got != want {
			t.Errorf("linear, retry %d: %v, want %v", n, got, want)
		}
	}
	if got := exponential.wait(1000); got <= 0 {
		t.Errorf("retry 1000 waits %v", got)
	}
}

// The committable offset is the one after the longest run of finished records,
// whatever the order they finish in and however far apart their offsets are.
func TestOffsets(t *testing.T) {
	for seed := range uint64(200) {
		rnd := rand.New(rand.NewPCG(seed, 0))
		var o offsets
		var all, open []int64
		finished := map[int64]bool{}
		next := rnd.Int64N(5)
		for len(finished) < 100 {
			if len(all) < 100 && rnd.IntN(2) == 0 {
				next += 1 + rnd.Int64N(4)
				control := rnd.IntN(5) == 0
				o.receive(&kgo.Record{Offset: next, LeaderEpoch: int32(next)}, control)
				all = append(all, next)
				if control {
					finished[next] = true
				} else {
					open = append(open, next)
				}
			} else if len(open) > 0 {
				i := rnd.IntN(len(open))
				o.finish(open[i])
				finished[open[i]] = true
				open = slices.Delete(open, i, i+1)
			}
			if len(all) == 0 {
				continue
			}
			want, moved := kgo.EpochOffset{Epoch: -1, Offset: all[0]}, false
			for _, offset := range all {
				if !finished[offset] {
					break
				}
				want, moved = kgo.EpochOffset{Epoch: int32(offset), Offset: offset + 1}, true
			}
			if o.next != want || o.moved != moved || o.unfinished() != len(open) {
				t.Fatalf("seed %d: received %v, open %v: next %v %v, %d unfinished; want %v %v, %d",
					seed, all, open, o.next, o.moved, o.unfinished(), want, moved, len(open))
			}
		}
	}
}

func TestOffsetsIgnoresStrangers(t *testing.T) {
	var o offsets
	o.finish(3)
	o.receive(&kgo.Record{Offset: 5}, false)
	o.finish(4)
	o.finish(6)
	if o.moved || o.unfinished() != 1 {
		t.Errorf("%+v: offsets that were not received moved it", o)
	}
}

// Whatever is in a record, the request made of it is one that HTTP can carry,
// and is a CloudEvent.
func FuzzFromRecord(f *testing.F) {
	f.Add([]byte("k"), []byte("{}"), "ce_specversion", []byte("1.0"), "content-type", []byte("application/json"))
	f.Add([]byte(nil), []byte(nil), "", []byte(nil), "ce_", []byte("x"))
	f.Add([]byte("\xff"), []byte(`{"specversion":"1.0","id":"1","source":"s","type":"t"}`), "Content-Type", []byte("application/cloudevents+json"), "ce_id", []byte("\r\n"))
	f.Add([]byte("k"), []byte("{}"), "Content-type", []byte("text/plain\r\nEvil: 1"), "X Y", []byte("\x00"))
	f.Fuzz(func(t *testing.T, key, value []byte, name1 string, value1 []byte, name2 string, value2 []byte) {
		for _, base := range [][]kgo.RecordHeader{nil, {
			{Key: "ce_specversion", Value: []byte("1.0")},
			{Key: "ce_id", Value: []byte("1")},
			{Key: "ce_source", Value: []byte("/s")},
			{Key: "ce_type", Value: []byte("t")},
		}} {
			r := &kgo.Record{Topic: "t", Key: key, Value: value, Timestamp: time.Unix(0, 0), Headers: append(base,
				kgo.RecordHeader{Key: name1, Value: value1}, kgo.RecordHeader{Key: name2, Value: value2})}
			m := fromRecord(r, "ns", "name")
			if err := m.check(); err != nil {
				t.Fatalf("%v: no CloudEvent: %v", m, err)
			}
			h := m.header()
			for name, values := range h {
				if !sendable(name, values) {
					t.Fatalf("header %q: %q cannot be sent", name, values)
				}
			}
			// And it arrives as what it was.
			back, err := fromRequest(h, m.data)
			if err != nil {
				if isStructured(h.Get("Content-Type")) {
					continue // an event whose data is an event cannot be told from one
				}
				t.Fatalf("%v: %v", m, err)
			}
			if !isStructured(h.Get("Content-Type")) && !maps.Equal(attributesOf(m), attributesOf(back)) {
				t.Fatalf("sent %v, arrived %v", m, back)
			}
		}
	})
}

// sendable is stricter than HTTP: it holds for what header makes.
func sendable(name string, values []string) bool {
	attr, isAttr := strings.CutPrefix(name, "Ce-")
	return name == http.CanonicalHeaderKey(name) &&
		(name == "Content-Type" || isAttr && attributeName(strings.ToLower(attr))) &&
		len(values) == 1 && !strings.ContainsFunc(values[0], func(r rune) bool { return r < ' ' || r > '~' })
}

func attributesOf(m message) map[string]string {
	all := map[string]string{}
	for _, a := range m.attributes {
		all[a.name] = a.value
	}
	return all
}

// Whatever is posted is refused or becomes a record that reads as the same event.
func FuzzFromRequest(f *testing.F) {
	f.Add("application/json", []byte("{}"), "Ce-Partitionkey", "trip%207")
	f.Add("application/cloudevents+json", []byte(`{"specversion":"1.0","id":"1","source":"s","type":"t","time":"2016-01-01T00:00:00Z","data_base64":"AQ=="}`), "X", "")
	f.Add("application/cloudevents+json", []byte(`{"specversion":"0.3","id":"1","source":"s","type":"t","data":"text"}`), "Ce-Time", "2016-01-01T00:00:00Z")
	f.Add("application/cloudevents", []byte(nil), "Ce-", "%")
	f.Add(`"`, []byte("0"), "X", "") // a content type that no structured event may have
	f.Fuzz(func(t *testing.T, contentType string, body []byte, name, value string) {
		h := http.Header{"Content-Type": {contentType}, "Ce-Specversion": {"1.0"}, "Ce-Id": {"1"}, "Ce-Source": {"/s"}, "Ce-Type": {"t"}}
		h.Set(name, value)
		m, err := fromRequest(h, body)
		if err != nil {
			return
		}
		for _, mode := range []string{manifest.ContentModeBinary, manifest.ContentModeStructured} {
			r, err := m.record("t", mode)
			if err != nil {
				if mode == manifest.ContentModeBinary {
					t.Fatalf("%v: %v", m, err)
				}
				continue
			}
			if mode == manifest.ContentModeStructured && !utf8.Valid(r.Value) {
				t.Fatalf("structured record %q is not UTF-8", r.Value)
			}
			if mode == manifest.ContentModeBinary && isStructured(m.contentType) {
				continue // data that is itself an event
			}
			back := fromRecord(r, "ns", "name")
			if mode == manifest.ContentModeBinary && !bytes.Equal(back.data, m.data) {
				t.Fatalf("data %q came back as %q", m.data, back.data)
			}
			for _, required := range []string{"id", "source", "type"} {
				if strings.ToValidUTF8(back.get(required), "") != back.get(required) || back.get(required) != m.get(required) {
					t.Fatalf("%s: %s %q came back as %q", mode, required, m.get(required), back.get(required))
				}
			}
		}
	})
}

package replay

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cloudevents/sdk-go/v2/event"

	"tripcast.dev/events"
)

// made is an event of a topic. Its key is its subject.
func made(topic, typ, subject, data string) Event {
	e := event.New()
	e.SetID(subject)
	e.SetType(typ)
	e.SetSource("/tripcast/" + topic)
	e.SetSubject(subject)
	e.SetExtension("partitionkey", subject)
	if data != "" {
		e.SetDataContentType(event.ApplicationJSON)
		e.DataEncoded = []byte(data)
	}
	return Event{Topic: topic, Event: e}
}

func feature(trip, data string) Event {
	return made(events.TopicFeatures, events.TypeFeatures, trip, data)
}

func encoded(t *testing.T, o *Outcome) string {
	t.Helper()
	var b bytes.Buffer
	if err := o.Write(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestOutcomeIsWrittenInOrder(t *testing.T) {
	o := &Outcome{Events: []Event{
		made("elsewhere", "x", "a", `1`),
		made(events.TopicDeadLetters, events.TypeFeatures, "b", `{"n":3}`),
		made(events.TopicLabels, events.TypeLabel, "a", `{"n":1}`),
		feature("b", `{"n":1}`),
		feature("a", `{"n":2}`),
		feature("b", `{"n":0}`),
	}}
	got := encoded(t, o)
	want := `{"specversion":"1.0","id":"a","source":"/tripcast/features","type":"dev.tripcast.features.ready.v1","subject":"a","partitionkey":"a","datacontenttype":"application/json","kafkatopic":"features","data":{"n":2}}
{"specversion":"1.0","id":"b","source":"/tripcast/features","type":"dev.tripcast.features.ready.v1","subject":"b","partitionkey":"b","datacontenttype":"application/json","kafkatopic":"features","data":{"n":1}}
{"specversion":"1.0","id":"b","source":"/tripcast/features","type":"dev.tripcast.features.ready.v1","subject":"b","partitionkey":"b","datacontenttype":"application/json","kafkatopic":"features","data":{"n":0}}
{"specversion":"1.0","id":"a","source":"/tripcast/labels","type":"dev.tripcast.label.ready.v1","subject":"a","partitionkey":"a","datacontenttype":"application/json","kafkatopic":"labels","data":{"n":1}}
{"specversion":"1.0","id":"b","source":"/tripcast/dead_letters","type":"dev.tripcast.features.ready.v1","subject":"b","partitionkey":"b","datacontenttype":"application/json","kafkatopic":"dead_letters","data":{"n":3}}
{"specversion":"1.0","id":"a","source":"/tripcast/elsewhere","type":"x","subject":"a","partitionkey":"a","datacontenttype":"application/json","kafkatopic":"elsewhere","data":1}
`
	if got != want {
		t.Errorf("written\n%s\nwant\n%s", got, want)
	}
}

// TestOutcomeIsReadAgain writes data of every kind, plain and compressed, and
// finds no difference in what is read.
func TestOutcomeIsReadAgain(t *testing.T) {
	o := &Outcome{}
	for i, data := range []string{`{"a":1.50}`, `{"a": 1}`, "{\n}", `null`, `not json`, "\xff", "\"\xff\"", `"<&>"`, "\x00"} {
		o.Events = append(o.Events, feature(string(rune('a'+i)), data))
	}
	plainText := made(events.TopicDeadLetters, "x", "ü <>&\" 'ß", "")
	plainText.SetDataContentType("text/plain")
	plainText.DataEncoded = []byte(`{"a":1}`)
	untyped := feature("untyped", "")
	untyped.DataEncoded = []byte(`{"a":1}`)
	o.Events = append(o.Events, plainText, untyped)

	text := encoded(t, o)
	var compressed bytes.Buffer
	z := gzip.NewWriter(&compressed)
	if _, err := io.WriteString(z, text); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string][]byte{"plain.jsonl": []byte(text), "compressed": compressed.Bytes()} {
		file := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(file, content, 0o600); err != nil {
			t.Fatal(err)
		}
		read, err := ReadOutcome(file)
		if err != nil {
			t.Fatal(err)
		}
		if again := encoded(t, read); again != text {
			t.Errorf("%s: written again it is\n%s\nand was\n%s", name, again, text)
		}
		for i, want := range o.sorted() {
			if got := read.Events[i]; !bytes.Equal(got.Data(), want.Data()) {
				t.Errorf("%s: the data of %s is %q, was %q", name, want.Key(), got.Data(), want.Data())
			}
		}
		if d := Compare(o, read, Rules{}); len(d) != 0 {
			t.Errorf("%s: what is read differs: %v", name, d)
		}
	}
}

func TestOutcomeIsNotRead(t *testing.T) {
	line := encoded(t, &Outcome{Events: []Event{feature("a", `{}`)}})
	for _, test := range []struct {
		name, text, says string
		is               error
	}{
		{"cut short", line + line[:len(line)-1], "line 2", io.ErrUnexpectedEOF},
		{"no JSON", line + "trip_id,duration\n", "line 2", nil},
		{"empty line", line + "\n" + line, "line 2", nil},
		{"no topic", strings.ReplaceAll(line, `"kafkatopic":"features",`, ""), "kafkatopic", nil},
		{"no type", strings.ReplaceAll(line, `"type":"dev.tripcast.features.ready.v1",`, ""), "type", nil},
		{"too long", line + strings.Repeat("x", maxLine+1) + "\n", "line 2", nil},
		{"gzip cut short", "\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff", "line 1", io.ErrUnexpectedEOF},
		{"no gzip", "\x1f\x8bx", "golden.jsonl", nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := readOutcome(strings.NewReader(test.text), "golden.jsonl")
			if err == nil || !strings.Contains(err.Error(), test.says) || !strings.Contains(err.Error(), "golden.jsonl") {
				t.Fatalf("the error is %v, want it to name the file and say %q", err, test.says)
			}
			if test.is != nil && !errors.Is(err, test.is) {
				t.Errorf("the error is %v, want it to be %v", err, test.is)
			}
		})
	}
	if _, err := ReadOutcome(filepath.Join(t.TempDir(), "nowhere")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a file that is not there is %v", err)
	}
}

// FuzzReadOutcome holds that what is read can be written, and is then read as the
// same.
func FuzzReadOutcome(f *testing.F) {
	seed := &Outcome{Events: []Event{feature("a", `{"a":[1,null,"x"]}`), feature("b", "\xff"), made("x", "y", "z", "")}}
	var b bytes.Buffer
	if err := seed.Write(&b); err != nil {
		f.Fatal(err)
	}
	f.Add(b.Bytes())
	f.Add([]byte("\x1f\x8b\x08"))
	f.Add([]byte(`{"specversion":"1.0","id":"1","source":"s","type":"t","kafkatopic":"x","data":null,"n":1,"b":true}` + "\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		o, err := readOutcome(bytes.NewReader(text), "fuzzed")
		if err != nil {
			return
		}
		var first, second bytes.Buffer
		if err := o.Write(&first); err != nil {
			t.Fatalf("what was read cannot be written: %v", err)
		}
		again, err := readOutcome(&first, "written")
		if err != nil {
			t.Fatalf("what was written cannot be read: %v", err)
		}
		if d := Compare(o, again, Rules{}); len(d) != 0 {
			t.Fatalf("what was written is read as another: %v", d)
		}
		if err := again.Write(&second); err != nil {
			t.Fatal(err)
		}
		var third bytes.Buffer
		if err := o.Write(&third); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(second.Bytes(), third.Bytes()) {
			t.Fatalf("written twice:\n%s\n%s", third.Bytes(), second.Bytes())
		}
	})
}

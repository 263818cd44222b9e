package recordings_test

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"testing"

	"tripcast.dev/events"
	"tripcast.dev/events/recordings"
)

// day is a recording of some events, and of a record that is none.
func day(n int) []recordings.Record {
	all := make([]recordings.Record, n)
	for i := range all {
		key := fmt.Appendf(nil, "trip-%d", i)
		r := recordOf(key, fmt.Appendf(nil, `{"trip_id":"%s","n":%d}`, key, i*i), binary("ce_partitionkey", string(key), "content-type", "application/json")...)
		if i%7 == 3 {
			r.Record = events.Record{Key: key, Value: []byte("no\nevent")}
		}
		r.Partition, r.Offset = int32(i%3), int64(i/3)
		all[i] = r
	}
	return all
}

// text is a recording as JSON lines.
func text(t *testing.T, all []recordings.Record) []byte {
	t.Helper()
	var lines []byte
	for _, r := range all {
		line, err := recordings.Compose(r)
		if err != nil {
			t.Fatal(err)
		}
		lines = append(lines, line...)
	}
	return lines
}

// compressed makes a member of gzip of each text.
func compressed(t *testing.T, texts ...[]byte) []byte {
	t.Helper()
	var out bytes.Buffer
	for _, text := range texts {
		w := gzip.NewWriter(&out)
		if _, err := w.Write(text); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return out.Bytes()
}

// readBytes reads what calls itself day.jsonl.
func readBytes(file []byte) ([]recordings.Record, error) {
	r, err := recordings.NewReader(bytes.NewReader(file), "day.jsonl")
	if err != nil {
		return nil, err
	}
	return collect(r)
}

// wantError checks that an error names the file and the line.
func wantError(t *testing.T, err error, line int, says string) {
	t.Helper()
	var wrong *recordings.Error
	if !errors.As(err, &wrong) {
		t.Fatalf("error %v, want a recordings.Error", err)
	}
	if wrong.Name != "day.jsonl" || wrong.Line != line || !strings.HasPrefix(err.Error(), fmt.Sprintf("recordings: day.jsonl: line %d: ", line)) || !strings.Contains(err.Error(), says) {
		t.Fatalf("error %q, want it of line %d, saying %q", err, line, says)
	}
}

func TestReader(t *testing.T) {
	want := day(20)
	plain := text(t, want)
	half := bytes.Index(plain, []byte("\n{")) + 1
	for name, file := range map[string][]byte{
		"plain":              plain,
		"gzip":               compressed(t, plain),
		"members":            compressed(t, plain[:half], nil, plain[half:]),
		"members within one": compressed(t, plain[:half+10], plain[half+10:]),
	} {
		t.Run(name, func(t *testing.T) {
			got, err := readBytes(file)
			if err != nil {
				t.Fatal(err)
			}
			wantSame(t, got, want)
		})
	}
	for name, file := range map[string][]byte{"no file": nil, "no lines": compressed(t, nil)} {
		if got, err := readBytes(file); err != nil || len(got) != 0 {
			t.Errorf("%s: %d records, error %v: want none", name, len(got), err)
		}
	}
	if _, err := recordings.Open("no-such-day.jsonl"); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "no-such-day.jsonl") {
		t.Errorf("error %v of a file that is not there", err)
	}
}

func TestReaderRefuses(t *testing.T) {
	const event = `"specversion":"1.0","id":"7","source":"/test","type":"a.type"`
	const topic, partition, offset, at = `,"kafkatopic":"t"`, `,"kafkapartition":0`, `,"kafkaoffset":"0"`, `,"recordedtime":"2016-01-04T08:30:00Z"`
	const place = topic + partition + offset + at
	const record = `"specversion":"1.0","id":"7","source":"/tripcast/recordings","type":"dev.tripcast.record.v1"`
	good := text(t, day(2))
	for _, tt := range []struct{ name, line, says string }{
		{"an empty line", "", "it is empty"},
		{"space", " ", "no event of a recording: events: data: unexpected end of JSON"},
		{"another program's", "trip_id,picked_up_at", "invalid character 'i'"},
		{"a document", "[]", "is no object"},
		{"no event", "{}", "specversion: is missing"},
		{"no place", "{" + event + "}", "kafkatopic is missing"},
		{"a topic of another kind", "{" + event + `,"kafkatopic":1` + partition + offset + at + "}", "kafkatopic is missing"},
		{"no partition", "{" + event + topic + offset + at + "}", "kafkapartition is no partition's number: <nil>"},
		{"a partition in words", "{" + event + topic + `,"kafkapartition":"0"` + offset + at + "}", "kafkapartition"},
		{"a negative partition", "{" + event + topic + `,"kafkapartition":-1` + offset + at + "}", "kafkapartition"},
		{"a large partition", "{" + event + topic + `,"kafkapartition":4294967296` + offset + at + "}", "kafkapartition"},
		{"no offset", "{" + event + topic + partition + at + "}", "kafkaoffset is no offset in a string: <nil>"},
		{"an offset in numbers", "{" + event + topic + partition + `,"kafkaoffset":0` + at + "}", "kafkaoffset"},
		{"a negative offset", "{" + event + topic + partition + `,"kafkaoffset":"-1"` + at + "}", "kafkaoffset"},
		{"no time", "{" + event + topic + partition + offset + "}", "recordedtime: parsing time"},
		{"another time", "{" + event + topic + partition + offset + `,"recordedtime":"8:30"}`, `recordedtime: parsing time "8:30"`},
		{"headers of another kind", "{" + event + place + `,"kafkaheaders":1}`, "kafkaheaders: 1 is no JSON"},
		{"headers that are no JSON", "{" + event + place + `,"kafkaheaders":"a"}`, "kafkaheaders: invalid character"},
		{"a header without a value", "{" + event + place + `,"kafkaheaders":"[[\"a\"]]"}`, "kafkaheaders: it does not hold pairs"},
		{"a header without a name", "{" + event + place + `,"kafkaheaders":"[[null,\"a\"]]"}`, "kafkaheaders: it does not hold pairs"},
		{"a header of the event", "{" + event + place + `,"kafkaheaders":"[[\"CE_ID\",\"8\"]]"}`, "kafkaheaders: CE_ID is the event's"},
		{"a record of nothing", "{" + record + place + "}", "data is missing"},
		{"a record of something", "{" + record + place + `,"data":{"key":5}}`, "data, which hold the record: json"},
		{"no base64", "{" + event + place + `,"data_base64":"*"}`, "data_base64: illegal base64"},
		{"what no end is to", strings.Repeat(" ", 17<<20), "it is longer than 16777216 bytes"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			file := append(append(bytes.Clone(good), tt.line+"\n"...), good...)
			for _, file := range [][]byte{file, compressed(t, file)} {
				got, err := readBytes(file)
				wantError(t, err, 3, tt.says)
				wantSame(t, got, day(2))
			}
		})
	}
}

// A file that was cut short keeps what was before, and the line is known from
// which it is not whole.
func TestCutShort(t *testing.T) {
	want := day(12)
	plain := text(t, want)
	for n := range plain {
		got, err := readBytes(plain[:n])
		whole := bytes.Count(plain[:n], []byte("\n"))
		wantSame(t, got, want[:whole])
		if n == 0 || plain[n-1] == '\n' {
			if err != nil {
				t.Fatalf("%d bytes, whole lines: error %v", n, err)
			}
			continue
		}
		wantError(t, err, whole+1, "cut short")
		if !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Fatalf("%d bytes: error %v is no io.ErrUnexpectedEOF", n, err)
		}
	}

	third := len(text(t, want[:4]))
	first := len(compressed(t, plain[:third]))
	file := compressed(t, plain[:third], plain[third:])
	before := 0
	for n := range file {
		got, err := readBytes(file[:n])
		wantSame(t, got, want[:len(got)])
		if len(got) < before || n >= first && len(got) < 4 {
			t.Fatalf("%d of %d bytes: %d records: less than of fewer", n, len(file), len(got))
		}
		before = len(got)
		if n == 0 || n == first {
			if err != nil {
				t.Fatalf("%d bytes, whole members: error %v", n, err)
			}
			continue
		}
		wantError(t, err, len(got)+1, "cut short")
		if !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Fatalf("%d bytes: error %v is no io.ErrUnexpectedEOF", n, err)
		}
	}
	if before != len(want) {
		t.Errorf("a file without its checksum gives %d of %d records", before, len(want))
	}
}

// What a damaged byte changes does not go unnoticed.
func TestDamaged(t *testing.T) {
	want := day(12)
	file := compressed(t, text(t, want))
	for at := range file {
		damaged := bytes.Clone(file)
		damaged[at] ^= 0x10
		got, err := readBytes(damaged)
		if err == nil {
			wantSame(t, got, want) // it was the time in the header, or padding
			continue
		}
		wantError(t, err, len(got)+1, "")
	}
	for name, at := range map[string]int{"checksum": len(file) - 8, "length": len(file) - 4} {
		damaged := bytes.Clone(file)
		damaged[at]++
		got, err := readBytes(damaged)
		wantSame(t, got, want)
		wantError(t, err, len(want)+1, "the file is damaged here or shortly before")
		if !errors.Is(err, gzip.ErrChecksum) {
			t.Errorf("%s: error %v is no gzip.ErrChecksum", name, err)
		}
	}
	got, err := readBytes(append(file, "something else"...))
	wantSame(t, got, want)
	wantError(t, err, len(want)+1, "damaged")
}

// FuzzReader holds the reader to an error of its own, and what it reads to be
// what can be recorded again.
func FuzzReader(f *testing.F) {
	var all []byte
	for _, r := range day(5) {
		line, err := recordings.Compose(r)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(line)
		all = append(all, line...)
	}
	f.Add(all)
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	_, _ = w.Write(all)
	_ = w.Close()
	f.Add(packed.Bytes())
	f.Fuzz(func(t *testing.T, file []byte) {
		got, err := readBytes(file)
		var wrong *recordings.Error
		if err != nil && (!errors.As(err, &wrong) || wrong.Line != len(got)+1) {
			t.Fatalf("error %v after %d records", err, len(got))
		}
		for _, r := range got {
			line, err := recordings.Compose(r)
			if err != nil {
				t.Fatalf("read what cannot be written: %v\n%#v", err, r)
			}
			again, err := readBytes(line)
			if err != nil {
				t.Fatal(err)
			}
			again[0].At = r.At // others write times more precisely than Kafka has them
			wantSame(t, again, []recordings.Record{r})
		}
	})
}

// The recordings of the house can be read.
func TestFiles(t *testing.T) {
	names, err := fs.Glob(recordings.Files(), "*")
	if err != nil || len(names) == 0 {
		t.Fatalf("%d recordings, error %v", len(names), err)
	}
	for _, name := range names {
		f, err := recordings.Files().Open(name)
		if err != nil {
			t.Fatal(err)
		}
		r, err := recordings.NewReader(f, name)
		if err != nil {
			t.Fatal(err)
		}
		if all, err := collect(r); err != nil || len(all) == 0 {
			t.Errorf("%s: %d records, error %v", name, len(all), err)
		}
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	}
	if _, err := os.Stat(names[0]); err != nil {
		t.Errorf("the recordings lie beside their reader: %v", err)
	}
}

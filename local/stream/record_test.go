package stream

import (
	"encoding/json"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

func TestJSONEncoding(t *testing.T) {
	for _, c := range []struct {
		name string
		kind kind
		v    value
		want string
	}{
		{"true", kindBool, value{num: 1}, "true"},
		{"false", kindBool, value{}, "false"},
		{"int", kindInt, intValue(-9223372036854775808), "-9223372036854775808"},
		{"float", kindFloat, floatValue(0.1), "0.1"},
		{"whole float", kindFloat, floatValue(3), "3"},
		{"small float", kindFloat, floatValue(1e-9), "1e-9"},
		{"large float", kindFloat, floatValue(1e300), "1e+300"},
		{"not a number", kindFloat, floatValue(math.NaN()), "null"},
		{"infinity", kindFloat, floatValue(math.Inf(-1)), "null"},
		{"numeric", kindNumeric, textValue("12345678901234567890.5"), `"12345678901234567890.5"`},
		{"timestamp", kindTime, intValue(1720032185312007), `"1720032185312.007"`},
		{"timestamp before 1970", kindTime, intValue(-1), `"-1.999"`},
		{"jsonb", kindJSON, textValue(`{"a":[1,null]}`), `{"a":[1,null]}`},
		{"map", kindMap, textValue(`{"a":"b"}`), `{"a":"b"}`},
		{"null", kindText, value{null: true}, "null"},
		{"empty text", kindText, textValue(""), `""`},
		{"plain text", kindText, textValue("a b/c<d>&e"), `"a b/c<d>&e"`},
		{"quotes", kindText, textValue(`say "x" \ y`), `"say \"x\" \\ y"`},
		{"unicode", kindText, textValue("é🚕"), `"é🚕"`},
		{"control characters", kindText, textValue("a\x00\n\x1f\x7f"), "\"a\\u0000\\n\\u001f\x7f\""},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := string(appendJSONValue(nil, c.kind, c.v))
			if got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
			if !json.Valid([]byte(got)) {
				t.Errorf("%s is not JSON", got)
			}
		})
	}
}

func FuzzJSONString(f *testing.F) {
	for _, seed := range []string{"", "a", "\x00\"\\\x7f\u2028", "é<&>", "\xff"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var back string
		if err := json.Unmarshal(appendJSONString(nil, text), &back); err != nil {
			t.Fatal(err)
		}
		if want := strings.ToValidUTF8(text, "\ufffd"); strings.ToValidUTF8(back, "\ufffd") != want && back != string([]rune(text)) {
			t.Errorf("%q comes back as %q", text, back)
		}
	})
}

func TestKeyText(t *testing.T) {
	for _, c := range []struct {
		kind kind
		v    value
		want string
	}{
		{kindText, textValue("é"), "é"},
		{kindInt, intValue(-7), "-7"},
		{kindBool, value{num: 1}, "true"},
		{kindFloat, floatValue(1.5), "1.5"},
		{kindNumeric, textValue("1.5"), "1.5"},
		{kindTime, intValue(1720032185312000), "2024-07-03 18:43:05.312"},
	} {
		if got := textOf(c.kind, c.v); got != c.want {
			t.Errorf("%s: %q, want %q", c.kind, got, c.want)
		}
	}
}

var sinkColumns = []column{{"id", kindText}, {"n", kindInt}, {"h", kindMap}}

func testSink(headers string) *sink {
	return newSink(&sinkDefinition{name: "s", topic: "out", key: []string{"id"}, headers: headers}, sinkColumns)
}

func sinkRow(id string, n int64, headers value) row {
	return row{id, string(appendRow(nil, sinkColumns, []value{textValue(id), intValue(n), headers}))}
}

func TestSinkRecords(t *testing.T) {
	at := time.UnixMilli(1720032185312)
	h := textValue(`{"ce_type":"t","ce_id":"i","nothing":null}`)
	records, err := testSink("h").records(delta{
		added:   []row{sinkRow("new", 1, h), sinkRow("changed", 2, h), sinkRow("bare", 3, value{null: true})},
		removed: []row{sinkRow("changed", 1, h), sinkRow("gone", 4, h)},
	}, at)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, r := range records {
		line := r.Topic + " " + string(r.Key) + " " + string(r.Value)
		if r.Value == nil {
			line = r.Topic + " " + string(r.Key) + " tombstone"
		}
		for _, header := range r.Headers {
			if header.Value == nil {
				line += " " + header.Key
				continue
			}
			line += " " + header.Key + "=" + string(header.Value)
		}
		got = append(got, line)
	}
	want := []string{
		`out new {"id":"new","n":1,"h":{"ce_type":"t","ce_id":"i","nothing":null}} ce_id=i ce_type=t nothing materialize-timestamp=1720032185312`,
		`out changed {"id":"changed","n":2,"h":{"ce_type":"t","ce_id":"i","nothing":null}} ce_id=i ce_type=t nothing materialize-timestamp=1720032185312`,
		`out bare {"id":"bare","n":3,"h":null} materialize-timestamp=1720032185312`,
		`out gone tombstone ce_id=i ce_type=t nothing materialize-timestamp=1720032185312`,
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestSinkWithoutHeaders(t *testing.T) {
	records, err := testSink("").records(delta{added: []row{sinkRow("a", 1, textValue(`{"x":"y"}`))}}, time.UnixMilli(5))
	if err != nil {
		t.Fatal(err)
	}
	if len(records) != 1 || len(records[0].Headers) != 1 || records[0].Headers[0].Key != "materialize-timestamp" {
		t.Errorf("got %+v", records)
	}
}

func testSource() *source {
	s := &source{name: "a", topic: "a"}
	s.add("data", kindJSON, "data")
	s.add("key", kindText, "key")
	s.add("part", kindInt, "partition")
	s.add("off", kindInt, "offset")
	s.add("ts", kindTime, "timestamp")
	return s
}

func TestRowOf(t *testing.T) {
	s := testSource()
	r, err := rowOf(s, &kgo.Record{Key: []byte("k"), Value: []byte(`{"a": 1}`), Partition: 2, Offset: 7, Timestamp: time.UnixMilli(5)})
	if err != nil {
		t.Fatal(err)
	}
	values := make([]value, len(s.columns))
	decodeRow(r.data, s.columns, values)
	if want := []value{textValue(`{"a": 1}`), textValue("k"), intValue(2), intValue(7), intValue(5000)}; !slices.Equal(values, want) {
		t.Errorf("got %v, want %v", values, want)
	}
	r, err = rowOf(s, &kgo.Record{Timestamp: time.UnixMilli(5)})
	if err != nil {
		t.Fatal(err)
	}
	if decodeRow(r.data, s.columns, values); !values[0].null || !values[1].null {
		t.Errorf("a record without key and value has %v", values[:2])
	}
}

// What gets past rowOf, DuckDB can read: one record that it cannot would fail
// every query over its tick.
func TestRowOfRefuses(t *testing.T) {
	db, err := openDuck(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	for _, c := range []struct {
		value string
		ok    bool
	}{
		{`{}`, true},
		{` [1, "a"] `, true},
		{`"\u00e9\ud83d\ude95\\ud800\n"`, true},
		{`1e38`, true},
		{`1e999`, false},
		{`{"a":1,"a":2}`, true},
		{`"\u0000"`, true},
		{strings.Repeat("[", 9000) + strings.Repeat("]", 9000), true},
		{``, false},
		{`{`, false},
		{`nope`, false},
		{`{"a":NaN}`, false},
		{`{} {}`, false},
		{"\"\xff\"", false},
		{`"\ud83d"`, false},
		{`"\ud83d\u0041"`, false},
		{`"\ude95\ud83d"`, false},
		{`"\ud83d\\ude95"`, false},
	} {
		_, err := rowOf(testSource(), &kgo.Record{Topic: "a", Partition: 1, Offset: 3, Value: []byte(c.value)})
		if (err == nil) != c.ok {
			t.Errorf("%q: %v", c.value, err)
		}
		if err != nil && !strings.Contains(err.Error(), "topic a, partition 1, offset 3") {
			t.Errorf("the error does not name the record: %v", err)
		}
		var read string
		if err := db.QueryRowContext(t.Context(), "SELECT (?::JSON)::VARCHAR", c.value).Scan(&read); c.ok && err != nil {
			t.Errorf("%q: DuckDB cannot read it: %v", c.value, err)
		}
	}
	if _, err := rowOf(testSource(), &kgo.Record{Key: []byte("\xff"), Value: []byte("{}")}); err == nil {
		t.Error("a key that is not UTF-8 is taken in")
	}
}

func FuzzRowOf(f *testing.F) {
	db, err := openDuck(f.Context())
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = db.Close() })
	for _, seed := range []string{`{"a":"\ud83d\ude95"}`, `"\\ud800"`, `[1e400,-0.0,null]`, `"\uD83D"`, "\"\xc3\"", `{"":{}}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if _, err := rowOf(testSource(), &kgo.Record{Value: data}); err != nil {
			return
		}
		var read any
		if err := db.QueryRowContext(t.Context(), "SELECT (?::JSON)->>'$'", string(data)).Scan(&read); err != nil {
			t.Errorf("%q is taken in and DuckDB cannot read it: %v", data, err)
		}
	})
}

// Headers that are read the short way are those that JSON makes of them.
func FuzzPlainHeaders(f *testing.F) {
	for _, seed := range []string{
		`{}`, `{"a":"b"}`, `{"b":"1","a":"é,:{}"}`, `{"a":null,"b":"c"}`, `{"a":"b","c":null}`, `{"a":"\"","b":"\u00e9"}`,
		`{"a":"b", "c":"d"}`, `{"":""}`, `{"a":1,"b":"c"}`, `{"a":["b","c"]}`, `{"a":{"b":"c"}}`, `{"a":"b","":"`, `{"}`, `{"a":"\","b":"c"}`,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, object string) {
		got, ok := plainHeaders(object)
		var all map[string]*string
		if !ok || json.Unmarshal([]byte(object), &all) != nil {
			return // the long way is taken, or it is no object of text: DuckDB makes none
		}
		if len(all) != len(got) {
			return // a key that is there twice: DuckDB's maps have none
		}
		for i, key := range sortedKeys(all) {
			if got[i].Key != key || all[key] == nil || string(got[i].Value) != *all[key] {
				t.Errorf("%q gives %q: %q", object, got[i].Key, got[i].Value)
			}
		}
	})
}

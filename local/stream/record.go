package stream

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/twmb/franz-go/pkg/kgo"
)

// rowOf reads a record as a row of its source. Materialize would put the whole
// source into an error state for a value that is no JSON; here the record is
// left out and the error names it.
func rowOf(s *source, r *kgo.Record) (row, error) {
	data := r.Value
	if data != nil {
		var err error
		if data, err = jsonb(data); err != nil {
			return row{}, fmt.Errorf("stream: topic %s, partition %d, offset %d: %w", r.Topic, r.Partition, r.Offset, err)
		}
	}
	if !utf8.Valid(r.Key) {
		return row{}, fmt.Errorf("stream: topic %s, partition %d, offset %d: the key is not text", r.Topic, r.Partition, r.Offset)
	}
	values := make([]value, len(s.columns))
	for i, what := range s.include {
		switch what {
		case "data":
			values[i] = value{text: string(data), null: r.Value == nil}
		case "key":
			values[i] = value{text: string(r.Key), null: r.Key == nil}
		case "partition":
			values[i] = intValue(int64(r.Partition))
		case "offset":
			values[i] = intValue(r.Offset)
		case "timestamp":
			values[i] = intValue(r.Timestamp.UnixMicro())
		}
	}
	partition := strconv.Itoa(int(r.Partition)) + "/" + strconv.FormatInt(r.Offset, 10)
	return row{partition, string(appendRow(nil, s.columns, values))}, nil
}

// sink writes the rows of a view as records, as Materialize's Kafka sinks do
// with KEY FORMAT TEXT, VALUE FORMAT JSON and ENVELOPE UPSERT.
type sink struct {
	*sinkDefinition
	columns []column
	key     int
	headers int // -1 for none
}

func newSink(def *sinkDefinition, columns []column) *sink {
	s := &sink{sinkDefinition: def, columns: columns, key: indexesOf(columns, def.key)[0], headers: -1}
	if def.headers != "" {
		s.headers = indexesOf(columns, []string{def.headers})[0]
	}
	return s
}

// records are what a delta writes: rows that came, and a tombstone for every
// key that went and did not come back.
func (s *sink) records(d delta, at time.Time) ([]*kgo.Record, error) {
	var records []*kgo.Record
	values := make([]value, len(s.columns))
	present := make(map[string]bool, len(d.added))
	for _, r := range d.added {
		decodeRow(r.data, s.columns, values)
		record, err := s.record(values, at)
		if err != nil {
			return nil, err
		}
		record.Value = appendJSONRow(make([]byte, 0, len(r.data)+64*len(values)), s.columns, values)
		present[string(record.Key)] = true
		records = append(records, record)
	}
	for _, r := range d.removed {
		decodeRow(r.data, s.columns, values)
		record, err := s.record(values, at)
		if err != nil {
			return nil, err
		}
		if !present[string(record.Key)] {
			records = append(records, record)
		}
	}
	return records, nil
}

func (s *sink) record(values []value, at time.Time) (*kgo.Record, error) {
	record := &kgo.Record{Topic: s.topic, Key: []byte(textOf(s.columns[s.key].kind, values[s.key]))}
	if s.headers >= 0 && !values[s.headers].null {
		var err error
		if record.Headers, err = headersOf(values[s.headers].text); err != nil {
			return nil, fmt.Errorf("stream: sink %s: headers of key %q: %w", s.name, record.Key, err)
		}
	}
	record.Headers = append(record.Headers, kgo.RecordHeader{
		Key: "materialize-timestamp", Value: strconv.AppendInt(nil, at.UnixMilli(), 10),
	})
	return record, nil
}

// headersOf reads a map[text=>text], which is kept as a JSON object.
func headersOf(object string) ([]kgo.RecordHeader, error) {
	if headers, ok := plainHeaders(object); ok {
		return headers, nil
	}
	var all map[string]*string
	if err := json.Unmarshal([]byte(object), &all); err != nil {
		return nil, err
	}
	var headers []kgo.RecordHeader
	for _, k := range sortedKeys(all) {
		h := kgo.RecordHeader{Key: k}
		if v := all[k]; v != nil {
			h.Value = []byte(*v)
		}
		headers = append(headers, h)
	}
	return headers, nil
}

// plainHeaders reads an object in which nothing is escaped, spaced or NULL, as
// DuckDB writes nearly all: decoding was the most of what a record cost.
func plainHeaders(object string) ([]kgo.RecordHeader, bool) {
	if len(object) < 4 || !strings.HasPrefix(object, `{"`) || !strings.HasSuffix(object, `"}`) ||
		strings.Contains(object, `\`) || !utf8.ValidString(object) {
		return nil, false
	}
	headers := make([]kgo.RecordHeader, 0, 8)
	for pair := range strings.SplitSeq(object[2:len(object)-2], `","`) {
		key, value, ok := strings.Cut(pair, `":"`)
		if !ok || strings.Contains(key, `"`) || strings.Contains(value, `"`) {
			return nil, false
		}
		headers = append(headers, kgo.RecordHeader{Key: key, Value: []byte(value)})
	}
	slices.SortFunc(headers, func(a, b kgo.RecordHeader) int { return strings.Compare(a.Key, b.Key) })
	return headers, true
}

// textOf is a value as KEY FORMAT TEXT shows it.
func textOf(k kind, v value) string {
	switch k {
	case kindBool:
		return strconv.FormatBool(v.bool())
	case kindInt:
		return strconv.FormatInt(v.int(), 10)
	case kindFloat:
		return strconv.FormatFloat(v.float(), 'g', -1, 64)
	case kindTime:
		return time.UnixMicro(v.int()).UTC().Format("2006-01-02 15:04:05.999999")
	default:
		return v.text
	}
}

func appendJSONRow(b []byte, columns []column, values []value) []byte {
	for i, c := range columns {
		if i == 0 {
			b = append(b, '{')
		} else {
			b = append(b, ',')
		}
		b = appendJSONString(b, c.name)
		b = append(b, ':')
		b = appendJSONValue(b, c.kind, values[i])
	}
	return append(b, '}')
}

// appendJSONValue encodes as Materialize's JSON sinks do (src/interchange/src/
// json.rs): numeric as a string, a timestamp as a string of milliseconds since
// 1970 with three more digits, jsonb nested, NaN as null.
func appendJSONValue(b []byte, k kind, v value) []byte {
	if v.null {
		return append(b, "null"...)
	}
	switch k {
	case kindBool:
		return strconv.AppendBool(b, v.bool())
	case kindInt:
		return strconv.AppendInt(b, v.int(), 10)
	case kindFloat:
		if f := v.float(); math.IsNaN(f) || math.IsInf(f, 0) {
			return append(b, "null"...)
		}
		encoded, err := json.Marshal(v.float())
		if err != nil {
			return append(b, "null"...)
		}
		return append(b, encoded...)
	case kindTime:
		ms, micros := v.int()/1000, v.int()%1000
		if micros < 0 {
			ms, micros = ms-1, micros+1000
		}
		return fmt.Appendf(b, `"%d.%03d"`, ms, micros)
	case kindJSON, kindMap:
		return append(b, v.text...)
	default:
		return appendJSONString(b, v.text)
	}
}

func appendJSONString(b []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < 0x20 || c == '"' || c == '\\' || c >= utf8.RuneSelf {
			encoded, err := json.Marshal(s)
			if err != nil {
				return append(b, `""`...)
			}
			return append(b, encoded...)
		}
	}
	b = append(b, '"')
	b = append(b, s...)
	return append(b, '"')
}

package recordings

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/cloudevents/sdk-go/v2/event"

	"tripcast.dev/events"
)

// TypeRecord is the event that a record is wrapped in which no line of its own
// would give back. Its data are the record's key, value and headers.
const TypeRecord = "dev.tripcast.record.v1"

const sourceRecordings = "/tripcast/recordings"

// The extensions of a line.
const (
	extTopic     = "kafkatopic"
	extPartition = "kafkapartition"
	extOffset    = "kafkaoffset"
	extTime      = "recordedtime"
	extHeaders   = "kafkaheaders"
)

// ours are all of them. An event that has one already is wrapped.
var ours = []string{extTopic, extPartition, extOffset, extTime, extHeaders}

const timeFormat = "2006-01-02T15:04:05.000Z"

// maxLine bounds a line: a record of events.MaxDataBytes in base64, many times.
const maxLine = 16 * events.MaxDataBytes

// composer writes lines. The same record gives the same bytes.
type composer struct {
	line    bytes.Buffer
	encoder *json.Encoder
}

func newComposer() *composer {
	c := &composer{}
	c.encoder = json.NewEncoder(&c.line)
	c.encoder.SetEscapeHTML(false)
	return c
}

// compose makes the line of a record, newline and all. It is good until the next.
func (c *composer) compose(r Record) ([]byte, error) {
	r.At = r.At.UTC().Truncate(time.Millisecond)
	if err := validPlace(r); err != nil {
		return nil, err
	}
	if c.event(r) && c.gives(r) == nil {
		return c.line.Bytes(), nil
	}
	c.wrapped(r)
	if err := c.gives(r); err != nil {
		return nil, fmt.Errorf("no line gives it back: %w", err)
	}
	return c.line.Bytes(), nil
}

func validPlace(r Record) error {
	switch {
	case r.Topic == "":
		return errors.New("its topic has no name")
	case r.Partition < 0 || r.Offset < 0:
		return errors.New("its partition or offset is negative")
	case r.At.Year() < 1 || r.At.Year() > 9999:
		return fmt.Errorf("its time is of the year %d, for which RFC 3339 has no words", r.At.Year())
	}
	return nil
}

// gives says why reading the line would not give the record.
func (c *composer) gives(want Record) error {
	if c.line.Len() > maxLine {
		return fmt.Errorf("%d bytes are more than the %d of a line", c.line.Len(), maxLine)
	}
	got, err := parseLine(c.line.Bytes()[:c.line.Len()-1])
	if err != nil {
		return err
	}
	if got.String() != want.String() || !got.At.Equal(want.At) || !same(got.Record, want.Record) {
		return errors.New("it would be another record")
	}
	return nil
}

// event writes a record as the event that it carries, and reports whether it
// carries one that has room for where it came from.
func (c *composer) event(r Record) bool {
	e, err := events.FromRecord(r.Record)
	if err != nil {
		return false
	}
	extensions := e.Extensions()
	if slices.ContainsFunc(ours, func(name string) bool { _, taken := extensions[name]; return taken }) {
		return false
	}
	attributes, err := events.Attributes(e)
	if err != nil {
		return false
	}
	others, ok := otherHeaders(r.Headers)
	if !ok {
		return false
	}
	c.begin()
	// The attributes of CloudEvents come first, the content type among them.
	slices.SortStableFunc(attributes, func(a, b events.Attribute) int { return extends(a) - extends(b) })
	for _, a := range attributes {
		c.member(a.Name, a.Value)
	}
	c.place(r)
	if others != "" {
		c.member(extHeaders, others)
	}
	c.data(e)
	c.end()
	return true
}

// extends is 1 for an extension, 0 for an attribute of CloudEvents.
func extends(a events.Attribute) int {
	switch a.Name {
	case "specversion", "id", "source", "type", "subject", "time", "dataschema", "datacontenttype":
		return 0
	}
	return 1
}

// otherHeaders are those that are not of the event, as an extension's value. It
// reports whether they are all text.
func otherHeaders(headers []events.Header) (string, bool) {
	var pairs [][2]*string
	for _, h := range headers {
		if isOfEvent(h.Key) {
			continue
		}
		if !utf8.ValidString(h.Key) || !utf8.Valid(h.Value) {
			return "", false
		}
		pair := [2]*string{&h.Key}
		if h.Value != nil {
			value := string(h.Value)
			pair[1] = &value
		}
		pairs = append(pairs, pair)
	}
	if pairs == nil {
		return "", true
	}
	text, err := json.Marshal(pairs)
	return string(text), err == nil
}

func isOfEvent(header string) bool {
	header = strings.ToLower(header)
	return header == "content-type" || strings.HasPrefix(header, "ce_")
}

func (c *composer) begin() {
	c.line.Reset()
	c.line.WriteByte('{')
}

func (c *composer) end() { c.line.WriteString("}\n") }

// place writes where the record came from.
func (c *composer) place(r Record) {
	c.member(extTopic, r.Topic)
	c.member(extPartition, r.Partition)
	c.member(extOffset, strconv.FormatInt(r.Offset, 10))
	c.member(extTime, r.At.Format(timeFormat))
}

// data writes JSON as it is, if one line holds it, and anything else in base64.
func (c *composer) data(e event.Event) {
	switch data := e.Data(); {
	case len(data) == 0:
	case isJSON(e.DataMediaType()) && json.Valid(data) && utf8.Valid(data) && !bytes.ContainsAny(data, "\r\n") && !bytes.Equal(data, []byte("null")):
		c.line.WriteString(`,"data":`)
		c.line.Write(data)
	default:
		c.member("data_base64", base64.StdEncoding.EncodeToString(data))
	}
}

// isJSON reports whether a media type is JSON, as none is.
func isJSON(media string) bool {
	return media == "" || media == event.ApplicationJSON || media == event.TextJSON || strings.HasSuffix(media, "+json")
}

// member writes a string or a number: neither can fail.
func (c *composer) member(name string, value any) {
	if c.line.Len() > 1 {
		c.line.WriteByte(',')
	}
	c.value(name)
	c.line.WriteByte(':')
	c.value(value)
}

func (c *composer) value(value any) {
	_ = c.encoder.Encode(value)
	c.line.Truncate(c.line.Len() - 1) // the newline
}

// wrapping is the data of an event of TypeRecord. JSON writes bytes in base64,
// and none as null.
type wrapping struct {
	Key     []byte   `json:"key"`
	Value   []byte   `json:"value"`
	Headers []header `json:"headers"`
}

type header struct {
	Key       string `json:"key"`
	KeyBase64 []byte `json:"key_base64,omitempty"` // of a key that is no text, instead
	Value     []byte `json:"value"`
}

func (c *composer) wrapped(r Record) {
	w := wrapping{Key: r.Key, Value: r.Value, Headers: make([]header, len(r.Headers))}
	for i, h := range r.Headers {
		w.Headers[i] = header{Key: h.Key, Value: h.Value}
		if !utf8.ValidString(h.Key) {
			w.Headers[i] = header{KeyBase64: []byte(h.Key), Value: h.Value}
		}
	}
	c.begin()
	c.member("specversion", event.CloudEventsVersionV1)
	c.member("id", r.String())
	c.member("source", sourceRecordings)
	c.member("type", TypeRecord)
	c.member("datacontenttype", event.ApplicationJSON)
	c.place(r)
	c.member("data", w)
	c.end()
}

// parseLine reads a line, without its newline.
func parseLine(line []byte) (Record, error) {
	if len(line) == 0 {
		return Record{}, errors.New("it is empty")
	}
	e, err := events.ParseStructured(line)
	if err != nil {
		return Record{}, fmt.Errorf("no event of a recording: %w", err)
	}
	r, others, err := place(e)
	if err != nil {
		return Record{}, fmt.Errorf("no event of a recording: %w", err)
	}
	if e.Type() == TypeRecord && e.Source() == sourceRecordings {
		r.Record, err = unwrap(e.Data())
	} else {
		r.Record, err = events.ToRecord(e)
	}
	if err != nil {
		return Record{}, err
	}
	r.Headers = append(r.Headers, others...)
	return r, nil
}

// place takes off an event, which nobody else has, where its record came from.
func place(e event.Event) (r Record, others []events.Header, err error) {
	extensions := e.Context.AsV1().Extensions
	text := func(name string) string {
		value, _ := extensions[name].(string)
		return value
	}
	if r.Topic = text(extTopic); r.Topic == "" {
		return r, nil, errors.New(extTopic + " is missing")
	}
	var ok bool
	if r.Partition, ok = extensions[extPartition].(int32); !ok || r.Partition < 0 {
		return r, nil, fmt.Errorf("%s is no partition's number: %v", extPartition, extensions[extPartition])
	}
	if r.Offset, err = strconv.ParseInt(text(extOffset), 10, 64); err != nil || r.Offset < 0 {
		return r, nil, fmt.Errorf("%s is no offset in a string: %v", extOffset, extensions[extOffset])
	}
	if r.At, err = time.Parse(time.RFC3339, text(extTime)); err != nil {
		return r, nil, fmt.Errorf("%s: %w", extTime, err)
	}
	r.At = r.At.UTC()
	if value, given := extensions[extHeaders]; given {
		if others, err = parseHeaders(value); err != nil {
			return r, nil, fmt.Errorf("%s: %w", extHeaders, err)
		}
	}
	for _, name := range ours {
		delete(extensions, name)
	}
	return r, others, nil
}

func parseHeaders(value any) ([]events.Header, error) {
	text, ok := value.(string)
	if !ok {
		return nil, fmt.Errorf("%v is no JSON in a string", value)
	}
	var pairs [][]*string
	if err := json.Unmarshal([]byte(text), &pairs); err != nil {
		return nil, err
	}
	headers := make([]events.Header, len(pairs))
	for i, pair := range pairs {
		if len(pair) != 2 || pair[0] == nil {
			return nil, errors.New("it does not hold pairs of a key and a value")
		}
		if isOfEvent(*pair[0]) {
			return nil, fmt.Errorf("%s is the event's", *pair[0])
		}
		headers[i].Key = *pair[0]
		if pair[1] != nil {
			headers[i].Value = []byte(*pair[1])
		}
	}
	return headers, nil
}

func unwrap(data []byte) (events.Record, error) {
	if len(data) == 0 {
		return events.Record{}, errors.New("data is missing, which hold the record")
	}
	var w wrapping
	if err := json.Unmarshal(data, &w); err != nil {
		return events.Record{}, fmt.Errorf("data, which hold the record: %w", err)
	}
	r := events.Record{Key: w.Key, Value: w.Value}
	for _, h := range w.Headers {
		if h.KeyBase64 != nil {
			h.Key = string(h.KeyBase64)
		}
		r.Headers = append(r.Headers, events.Header{Key: h.Key, Value: h.Value})
	}
	return r, nil
}

// same reports whether two records are, but for the order of their headers.
func same(a, b events.Record) bool {
	return equal(a.Key, b.Key) && equal(a.Value, b.Value) &&
		slices.EqualFunc(sorted(a.Headers), sorted(b.Headers), func(a, b events.Header) bool { return compareHeaders(a, b) == 0 })
}

// equal tells none from empty.
func equal(a, b []byte) bool { return bytes.Equal(a, b) && (a == nil) == (b == nil) }

func sorted(headers []events.Header) []events.Header {
	return slices.SortedFunc(slices.Values(headers), compareHeaders)
}

func compareHeaders(a, b events.Header) int {
	if c := strings.Compare(a.Key, b.Key); c != 0 {
		return c
	}
	if c := bytes.Compare(a.Value, b.Value); c != 0 {
		return c
	}
	switch {
	case equal(a.Value, b.Value):
		return 0
	case a.Value == nil:
		return -1
	}
	return 1
}

package eventing

import (
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/cloudevents/sdk-go/v2/types"
	"github.com/twmb/franz-go/pkg/kgo"

	"tripcast.dev/infra/knative/manifest"
)

// TypeKafka is the type of the event made of a record that is no CloudEvent.
const TypeKafka = "dev.knative.kafka.event"

const (
	structuredJSON    = "application/cloudevents+json"
	anyStructured     = "application/cloudevents" // +json, +avro, -batch+json
	contentTypeHeader = "content-type"
)

// message is a CloudEvent between a record and a request. In binary mode both
// are a list of attributes next to the data, so most events pass without being
// decoded.
type message struct {
	attributes  []attribute
	contentType string // datacontenttype, empty if not given
	data        []byte
}

// attribute is a CloudEvents attribute, with specversion among them and
// datacontenttype not.
type attribute struct{ name, value string }

func (m *message) get(name string) string {
	for _, a := range m.attributes {
		if a.name == name {
			return a.value
		}
	}
	return ""
}

// set adds an attribute, or replaces it.
func (m *message) set(name, value string) {
	for i, a := range m.attributes {
		if a.name == name {
			m.attributes[i].value = value
			return
		}
	}
	m.attributes = append(m.attributes, attribute{name, value})
}

// with is a copy of m with more attributes.
func (m message) with(attributes ...attribute) message {
	m.attributes = slices.Clone(m.attributes)
	for _, a := range attributes {
		m.set(a.name, a.value)
	}
	return m
}

// check tells why m is no CloudEvent, or nil.
// https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/spec.md#required-attributes
func (m *message) check() error {
	switch v := m.get("specversion"); v {
	case event.CloudEventsVersionV1, event.CloudEventsVersionV03:
	case "":
		return errors.New("specversion is missing")
	default:
		return fmt.Errorf("specversion %q is not supported", v)
	}
	for _, required := range []string{"id", "source", "type"} {
		if m.get(required) == "" {
			return fmt.Errorf("%s is missing", required)
		}
	}
	for _, a := range m.attributes {
		if !attributeName(a.name) {
			return fmt.Errorf("attribute name %q is not lower-case letters and digits", a.name)
		}
		if !utf8.ValidString(a.value) {
			return fmt.Errorf("%s is not UTF-8", a.name)
		}
	}
	if t := m.get("time"); t != "" {
		if _, err := time.Parse(time.RFC3339Nano, t); err != nil {
			return fmt.Errorf("time %q is not RFC 3339", t)
		}
	}
	return nil
}

func attributeName(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') {
			return false
		}
	}
	return s != ""
}

// fromRecord reads a record as KafkaSource source (namespace/name) does. A
// record that is no CloudEvent becomes the data of one, and never an error: it
// is the sink that says what it does not want.
func fromRecord(r *kgo.Record, namespace, name string) message {
	m := message{data: r.Value, attributes: make([]attribute, 0, len(r.Headers)+2)}
	for _, h := range r.Headers {
		if attr, ok := strings.CutPrefix(h.Key, "ce_"); ok {
			m.set(attr, string(h.Value))
		} else if strings.EqualFold(h.Key, contentTypeHeader) {
			m.contentType = string(h.Value)
		}
	}
	if isStructured(m.contentType) {
		if decoded, err := fromStructured(m.contentType, r.Value); err == nil {
			m = decoded
		} else {
			m = fromPlain(r, namespace, name)
		}
	} else if m.check() != nil {
		m = fromPlain(r, namespace, name)
	}
	m.set("knativekafkapartition", strconv.Itoa(int(r.Partition)))
	m.set("knativekafkaoffset", strconv.FormatInt(r.Offset, 10))
	return m
}

// fromPlain makes an event of a record that is none. Its id is the record's
// place in the topic, so that a redelivery has the same.
func fromPlain(r *kgo.Record, namespace, name string) message {
	m := message{data: r.Value, attributes: []attribute{
		{"specversion", event.CloudEventsVersionV1},
		{"id", fmt.Sprintf("partition:%d/offset:%d", r.Partition, r.Offset)},
		{"type", TypeKafka},
		{"source", fmt.Sprintf("/apis/v1/namespaces/%s/kafkasources/%s#%s", namespace, name, r.Topic)},
		{"subject", fmt.Sprintf("partition:%d#%d", r.Partition, r.Offset)},
		{"time", r.Timestamp.UTC().Format(time.RFC3339Nano)},
	}}
	if r.Key != nil {
		key := strings.ToValidUTF8(string(r.Key), "\uFFFD")
		m.set("partitionkey", key)
		m.set("key", key)
	}
	for _, h := range r.Headers {
		value := strings.ToValidUTF8(string(h.Value), "\uFFFD")
		if strings.EqualFold(h.Key, contentTypeHeader) {
			m.contentType = strings.ToLower(value)
			continue
		}
		m.set("kafkaheader"+strings.Map(attributeRune, h.Key), value)
	}
	return m
}

// attributeRune keeps of a record header's name what an attribute's may have.
func attributeRune(r rune) rune {
	switch {
	case r >= 'A' && r <= 'Z':
		return r + 'a' - 'A'
	case r >= 'a' && r <= 'z', r >= '0' && r <= '9':
		return r
	}
	return -1
}

// fromRequest reads an event posted over HTTP, in binary or structured mode.
func fromRequest(header http.Header, body []byte) (message, error) {
	contentType := header.Get("Content-Type")
	if isStructured(contentType) {
		return fromStructured(contentType, body)
	}
	m := message{contentType: contentType, data: body, attributes: make([]attribute, 0, len(header))}
	for name, values := range header {
		if attr, ok := strings.CutPrefix(name, "Ce-"); ok && len(values) > 0 {
			m.attributes = append(m.attributes, attribute{strings.ToLower(attr), percentDecode(values[0])})
		}
	}
	// A map has no order of its own, and a record should not depend on luck.
	slices.SortFunc(m.attributes, func(a, b attribute) int { return strings.Compare(a.name, b.name) })
	return m, m.check()
}

func isStructured(contentType string) bool {
	return len(contentType) >= len(anyStructured) && strings.EqualFold(contentType[:len(anyStructured)], anyStructured)
}

// fromStructured reads an event that is one JSON document.
func fromStructured(contentType string, body []byte) (message, error) {
	if mediaType, _, err := mime.ParseMediaType(contentType); err != nil || mediaType != structuredJSON {
		return message{}, fmt.Errorf("content type %q is not supported, only %s is", contentType, structuredJSON)
	}
	var e event.Event
	if err := json.Unmarshal(body, &e); err != nil {
		return message{}, fmt.Errorf("decoding the event: %w", err)
	}
	if err := e.Validate(); err != nil {
		return message{}, fmt.Errorf("decoding the event: %w", err)
	}
	m := message{contentType: e.DataContentType(), data: e.Data(), attributes: []attribute{
		{"specversion", e.SpecVersion()}, {"id", e.ID()}, {"source", e.Source()}, {"type", e.Type()},
	}}
	for _, optional := range []attribute{{"subject", e.Subject()}, {"dataschema", e.DataSchema()}} {
		if optional.value != "" {
			m.set(optional.name, optional.value)
		}
	}
	if t := e.Time(); !t.IsZero() {
		m.set("time", types.FormatTime(t))
	}
	extensions := e.Extensions()
	for name, value := range extensions {
		text, err := types.Format(value)
		if err != nil {
			return message{}, fmt.Errorf("extension %s: %w", name, err)
		}
		m.attributes = append(m.attributes, attribute{name, text})
	}
	slices.SortFunc(m.attributes, func(a, b attribute) int { return strings.Compare(a.name, b.name) })
	if m.contentType == "" && len(m.data) > 0 {
		m.contentType = event.ApplicationJSON // what structured mode takes for granted has to be said in binary mode
	}
	return m, m.check()
}

// header is m as the header of a binary-mode request.
func (m *message) header() http.Header {
	h := make(http.Header, len(m.attributes)+2)
	values := make([]string, len(m.attributes)+1)
	for i, a := range m.attributes {
		values[i] = percentEncode(a.value)
		// Names are lower-case letters and digits: this is their canonical form.
		h["Ce-"+strings.ToUpper(a.name[:1])+a.name[1:]] = values[i : i+1 : i+1]
	}
	if m.contentType != "" {
		last := len(values) - 1
		values[last] = strings.Map(headerRune, m.contentType)
		h["Content-Type"] = values[last:]
	}
	return h
}

// headerRune drops what no header may hold.
func headerRune(r rune) rune {
	if r < ' ' || r > '~' {
		return -1
	}
	return r
}

// record is m as a Kafka record in the given content mode, keyed by its
// partitionkey.
func (m *message) record(topic, contentMode string) (*kgo.Record, error) {
	r := &kgo.Record{Topic: topic}
	if key := m.get("partitionkey"); key != "" {
		r.Key = []byte(key)
	}
	if contentMode == manifest.ContentModeStructured {
		body, err := m.structured()
		if err != nil {
			return nil, err
		}
		r.Value = body
		r.Headers = []kgo.RecordHeader{{Key: contentTypeHeader, Value: []byte(structuredJSON + "; charset=UTF-8")}}
		return r, nil
	}
	r.Headers = make([]kgo.RecordHeader, 0, len(m.attributes)+1)
	for _, a := range m.attributes {
		r.Headers = append(r.Headers, kgo.RecordHeader{Key: "ce_" + a.name, Value: []byte(a.value)})
	}
	if m.contentType != "" {
		r.Headers = append(r.Headers, kgo.RecordHeader{Key: contentTypeHeader, Value: []byte(m.contentType)})
	}
	if len(m.data) > 0 { // an event without data stays one: a null value, not an empty one
		r.Value = m.data
	}
	return r, nil
}

// structured is m as one JSON document.
func (m *message) structured() ([]byte, error) {
	e := event.New(m.get("specversion"))
	for _, a := range m.attributes {
		switch a.name {
		case "specversion":
		case "id":
			e.SetID(a.value)
		case "source":
			e.SetSource(a.value)
		case "type":
			e.SetType(a.value)
		case "subject":
			e.SetSubject(a.value)
		case "dataschema":
			e.SetDataSchema(a.value)
		case "time":
			t, err := types.ParseTime(a.value)
			if err != nil {
				return nil, fmt.Errorf("time: %w", err)
			}
			e.SetTime(t)
		default:
			e.SetExtension(a.name, a.value)
		}
	}
	if m.contentType != "" {
		e.SetDataContentType(m.contentType)
	}
	if len(m.data) > 0 {
		e.DataEncoded = m.data
		isJSON := e.DataMediaType() == event.ApplicationJSON || strings.HasSuffix(e.DataMediaType(), "+json")
		e.DataBase64 = isJSON && !json.Valid(m.data) || !utf8.Valid(m.data)
	}
	if err := e.Validate(); err != nil { // one document has rules that headers do not, and a reader checks them
		return nil, fmt.Errorf("encoding the event: %w", err)
	}
	body, err := json.Marshal(e)
	if err != nil {
		return nil, fmt.Errorf("encoding the event: %w", err)
	}
	return body, nil
}

// percentEncode writes an attribute as a header value.
// https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/http-protocol-binding.md#3132-http-header-values
func percentEncode(s string) string {
	const hex = "0123456789ABCDEF"
	plain := func(c byte) bool { return c > ' ' && c < 0x7f && c != '"' && c != '%' }
	i := 0
	for i < len(s) && plain(s[i]) {
		i++
	}
	if i == len(s) {
		return s
	}
	b := make([]byte, i, len(s)+8)
	copy(b, s)
	for ; i < len(s); i++ {
		if c := s[i]; plain(c) {
			b = append(b, c)
		} else {
			b = append(b, '%', hex[c>>4], hex[c&15])
		}
	}
	return string(b)
}

// percentDecode reads a header value. A % that starts no escape is itself:
// clients that know nothing of the encoding are common.
func percentDecode(s string) string {
	if !strings.Contains(s, "%") {
		return s
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && i+2 < len(s) {
			if c, err := strconv.ParseUint(s[i+1:i+3], 16, 8); err == nil {
				b = append(b, byte(c))
				i += 2
				continue
			}
		}
		b = append(b, s[i])
	}
	return string(b)
}

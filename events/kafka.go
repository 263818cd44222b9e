package events

import (
	"errors"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/cloudevents/sdk-go/v2/types"
)

// ErrNotCloudEvent is a Kafka record that carries no CloudEvent, in either
// mode. It may still be one of ours where Materialize's sink headers are off:
// a KafkaSource then makes an event of TypeKafka of it.
var ErrNotCloudEvent = errors.New("events: the record is not a CloudEvent")

// Header is one header of a Kafka record.
type Header struct {
	Key   string
	Value []byte
}

// Record is a Kafka record as far as CloudEvents are concerned, whatever the client.
type Record struct {
	Key, Value []byte
	Headers    []Header
}

// Header names of the CloudEvents Kafka protocol binding 1.0.2, section 3.2.
const (
	headerPrefix      = "ce_"
	headerContentType = "content-type"
)

// ToRecord maps an event to a record in binary mode: attributes and extensions
// become ce_ headers, the partitionkey extension is the key too, and an event
// without data becomes a tombstone, whose value is nil. The order of the
// headers is fixed, and the value shares the event's memory. An event that
// lacks an id, source or type, or has an attribute that no header carries, is
// an *InvalidError.
func ToRecord(e event.Event) (Record, error) {
	if e.Context == nil {
		return Record{}, missing("specversion")
	}
	c := e.Context.AsV1()
	r := Record{Headers: make([]Header, 0, 8+len(c.Extensions))}
	if data := e.Data(); len(data) > 0 {
		r.Value = data
	}
	var err error
	add := func(name, value string) {
		if err == nil {
			err = validAttribute(name, value)
		}
		r.Headers = append(r.Headers, Header{headerPrefix + name, []byte(value)})
	}
	add("specversion", event.CloudEventsVersionV1)
	add("id", c.ID)
	add("source", c.Source.String())
	add("type", c.Type)
	if c.Subject != nil {
		add("subject", *c.Subject)
	}
	if c.Time != nil {
		add("time", types.FormatTime(c.Time.Time))
	}
	if c.DataSchema != nil {
		add("dataschema", c.DataSchema.String())
	}
	for _, name := range extensionNames(c.Extensions) {
		value, formatErr := types.Format(c.Extensions[name])
		if formatErr != nil {
			return Record{}, invalid(name, "%v", formatErr)
		}
		add(name, value)
		if name == partitionKey {
			r.Key = []byte(value)
		}
	}
	if c.DataContentType != nil {
		if err == nil {
			err = validAttribute("datacontenttype", *c.DataContentType)
		}
		r.Headers = append(r.Headers, Header{headerContentType, []byte(*c.DataContentType)})
	}
	if err != nil {
		return Record{}, err
	}
	return r, nil
}

// extensionNames is in order, so that the same event gives the same record.
func extensionNames(extensions map[string]any) []string {
	names := make([]string, 0, len(extensions))
	for name := range extensions {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// FromRecord reads the event that a record carries, in binary or in structured
// mode. A binary record without a value is an event without data: a retraction.
// The event's data shares the record's memory in binary mode. The key is not
// looked at: what it means is the producer's business and partitionkey says it.
//
// It returns ErrNotCloudEvent for a record that does not claim to be one, and
// an *InvalidError that names the attribute for one that claims it in vain.
func FromRecord(r Record) (event.Event, error) {
	a := attributes{context: &event.EventContextV1{}}
	claimed := false
	for _, h := range r.Headers {
		key := strings.ToLower(h.Key)
		if key == headerContentType {
			contentType := string(h.Value)
			if isStructured(contentType) {
				return parseStructuredAs(contentType, r.Value)
			}
			if contentType != "" {
				a.context.DataContentType = &contentType
			}
			continue
		}
		name, ok := strings.CutPrefix(key, headerPrefix)
		if !ok {
			continue // materialize-timestamp, traceparent and the like
		}
		claimed = true
		if name == "datacontenttype" {
			continue // content-type says it in binary mode
		}
		if err := a.set(name, string(h.Value)); err != nil {
			return event.Event{}, err
		}
	}
	if !claimed {
		return event.Event{}, ErrNotCloudEvent
	}
	if err := a.complete(); err != nil {
		return event.Event{}, err
	}
	e := event.Event{Context: a.context}
	if len(r.Value) > 0 {
		e.DataEncoded = r.Value
	}
	return e, nil
}

// attributes gathers the context of an event from strings, strictly.
type attributes struct {
	context     *event.EventContextV1
	specVersion string
}

func (a *attributes) set(name, value string) error {
	if value == "" && isOptional(name) {
		return nil
	}
	if err := validAttribute(name, value); err != nil {
		return err
	}
	c := a.context
	switch name {
	case "specversion":
		if value != event.CloudEventsVersionV1 {
			return invalid(name, "%q is not 1.0", value)
		}
		a.specVersion = value
	case "id":
		c.ID = value
	case "source":
		u, err := url.Parse(value)
		if err != nil {
			return invalid(name, "%q is not a URI reference", value)
		}
		c.Source = types.URIRef{URL: *u}
	case "type":
		c.Type = value
	case "subject":
		c.Subject = &value
	case "datacontenttype":
		c.DataContentType = &value
	case "time":
		t, err := time.Parse(time.RFC3339Nano, value)
		if t = t.UTC(); err != nil || t.Year() < 0 || t.Year() > 9999 { // what can be written again
			return invalid(name, "%q is not an RFC 3339 time", value)
		}
		c.Time = &types.Timestamp{Time: t}
	case "dataschema":
		u, err := url.Parse(value)
		if err != nil {
			return invalid(name, "%q is not a URI", value)
		}
		c.DataSchema = &types.URI{URL: *u}
	case "data":
		return invalid(name, "is not an attribute")
	default:
		return a.extend(name, value)
	}
	return nil
}

func (a *attributes) extend(name string, value any) error {
	if err := a.context.SetExtension(name, value); err != nil {
		return invalid(name, "%v", err)
	}
	return nil
}

// complete checks for the required attributes.
func (a *attributes) complete() error {
	switch {
	case a.specVersion == "":
		return missing("specversion")
	case a.context.ID == "":
		return missing("id")
	case a.context.Source.String() == "":
		return missing("source")
	case a.context.Type == "":
		return missing("type")
	}
	return nil
}

func isOptional(name string) bool {
	switch name {
	case "subject", "time", "dataschema", "datacontenttype":
		return true
	}
	return false
}

// validAttribute refuses what CloudEvents 1.0.2 section 3.1 forbids in strings
// and no HTTP header would carry.
func validAttribute(name, value string) error {
	switch name {
	case "specversion", "id", "source", "type":
		if value == "" {
			return missing(name)
		}
	}
	for i := range len(value) {
		if c := value[i]; c < ' ' || c == 0x7f {
			return invalid(name, "%q has a control character", value)
		}
	}
	if !utf8.ValidString(value) {
		return invalid(name, "%q is not UTF-8", value)
	}
	return nil
}

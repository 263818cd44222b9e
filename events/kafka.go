package events

import (
	"errors"
	"strings"

	"github.com/cloudevents/sdk-go/v2/event"
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
	attributes, err := Attributes(e)
	if err != nil {
		return Record{}, err
	}
	r := Record{Headers: make([]Header, len(attributes))}
	for i, a := range attributes {
		name := headerContentType
		if a.Name != contentTypeAttribute {
			name = headerPrefix + a.Name
		}
		r.Headers[i] = Header{name, []byte(a.Value)}
		if a.Name == partitionKey {
			r.Key = r.Headers[i].Value
		}
	}
	if data := e.Data(); len(data) > 0 {
		r.Value = data
	}
	return r, nil
}

// FromRecord reads the event that a record carries, in binary or in structured
// mode. A binary record without a value is an event without data: a retraction.
// The event's data shares the record's memory in binary mode. The key is not
// looked at: what it means is the producer's business and partitionkey says it.
//
// It returns ErrNotCloudEvent for a record that does not claim to be one, and
// an *InvalidError that names the attribute for one that claims it in vain.
func FromRecord(r Record) (event.Event, error) {
	attributes := make([]Attribute, 0, len(r.Headers))
	claimed := false
	for _, h := range r.Headers {
		key := strings.ToLower(h.Key)
		if key == headerContentType {
			contentType := string(h.Value)
			if IsStructured(contentType) {
				return parseStructuredAs(contentType, r.Value)
			}
			attributes = append(attributes, Attribute{contentTypeAttribute, contentType})
			continue
		}
		// Others are materialize-timestamp, traceparent and the like, and
		// content-type stands for datacontenttype in binary mode.
		if name, ok := strings.CutPrefix(key, headerPrefix); ok && name != contentTypeAttribute {
			claimed = true
			attributes = append(attributes, Attribute{name, string(h.Value)})
		}
	}
	if !claimed {
		return event.Event{}, ErrNotCloudEvent
	}
	return FromAttributes(attributes, r.Value)
}

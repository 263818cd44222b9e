package trail

import (
	"bytes"
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/twmb/franz-go/pkg/kgo"

	"tripcast.dev/events"
)

// Attribute is a CloudEvents attribute or an extension, as text.
type Attribute = events.Attribute

// Event is a record of a topic and the CloudEvent that it carries. A record that
// carries none is shown as what it is: it has data and no attributes.
type Event struct {
	Topic     string
	Partition int32
	Offset    int64
	Timestamp time.Time // the record's
	// Attributes are in the order of the specification, then the extensions by name.
	Attributes []Attribute
	Data       []byte
	Retraction bool // it has no data: what an earlier one said is no more
	// Duplicate is set if an earlier one of the topic, among those that were read,
	// has the same id and source.
	Duplicate bool
}

// Get is the value of an attribute, "" if the event has none of that name.
func (e Event) Get(name string) string {
	for _, a := range e.Attributes {
		if a.Name == name {
			return a.Value
		}
	}
	return ""
}

// The headers of the CloudEvents Kafka protocol binding.
const (
	headerPrefix      = "ce_"
	headerContentType = "content-type"
)

// The attributes by which an event belongs to a trip.
const (
	subject      = "subject"
	partitionKey = "partitionkey"
)

const contentType = "datacontenttype"

// concerns reports whether a record is a trip's. Its key says so, but a dead
// letter of somebody else's may have none.
func concerns(r *kgo.Record, trip string) bool {
	if string(r.Key) == trip {
		return true
	}
	structured := false
	for _, h := range r.Headers {
		switch name := strings.ToLower(h.Key); name {
		case headerPrefix + subject, headerPrefix + partitionKey:
			if string(h.Value) == trip {
				return true
			}
		case headerContentType:
			structured = events.IsStructured(string(h.Value))
		}
	}
	if !structured || len(r.Key) > 0 {
		return false
	}
	e, err := events.ParseStructured(r.Value)
	return err == nil && (e.Subject() == trip || e.Extensions()[partitionKey] == trip)
}

// eventOf copies what is to be kept of a record: its memory is that of a whole
// batch.
func eventOf(r *kgo.Record) Event {
	e := Event{
		Topic: r.Topic, Partition: r.Partition, Offset: r.Offset, Timestamp: r.Timestamp,
		Attributes: binaryAttributes(r), Data: r.Value,
	}
	if structured, ok := structuredEvent(r); ok {
		e.Attributes, e.Data = nil, r.Value
		if attributes, err := events.Attributes(structured); err == nil {
			e.Attributes, e.Data = attributes, structured.Data()
		}
	}
	slices.SortFunc(e.Attributes, bySpecification)
	e.Data = bytes.Clone(e.Data)
	e.Retraction = len(e.Data) == 0
	return e
}

// structuredEvent is the event of a record that says it is one whole. One that
// says so in vain is the zero event, which has no attributes.
func structuredEvent(r *kgo.Record) (e event.Event, ok bool) {
	for _, h := range r.Headers {
		if strings.EqualFold(h.Key, headerContentType) && events.IsStructured(string(h.Value)) {
			// FromRecord knows which formats there are.
			e, err := events.FromRecord(events.Record{Value: r.Value, Headers: []events.Header{{Key: headerContentType, Value: h.Value}}})
			if err != nil {
				return event.Event{}, true
			}
			return e, true
		}
	}
	return event.Event{}, false
}

// binaryAttributes are what the headers say, right or wrong: who looks at a
// record that nobody could read wants to see why.
func binaryAttributes(r *kgo.Record) []Attribute {
	var attributes []Attribute
	set := func(name string, value []byte) {
		a := Attribute{Name: strings.ToValidUTF8(name, "\uFFFD"), Value: strings.ToValidUTF8(string(value), "\uFFFD")}
		i := slices.IndexFunc(attributes, func(b Attribute) bool { return a.Name == b.Name })
		if i < 0 {
			attributes = append(attributes, a)
		} else {
			attributes[i] = a // the last one counts, as for a KafkaSource
		}
	}
	claimed := false
	for _, h := range r.Headers {
		name := strings.ToLower(h.Key)
		if name == headerContentType && len(h.Value) > 0 {
			set(contentType, h.Value)
		} else if name, ok := strings.CutPrefix(name, headerPrefix); ok && name != contentType {
			claimed = true
			set(name, h.Value)
		}
	}
	if !claimed {
		return nil
	}
	return attributes
}

// specified are the attributes of the specification, in its order.
var specified = []string{"id", "source", "specversion", "type", subject, "time", contentType, "dataschema"}

func bySpecification(a, b Attribute) int {
	rank := func(name string) int {
		if i := slices.Index(specified, name); i >= 0 {
			return i
		}
		return len(specified)
	}
	return cmp.Or(cmp.Compare(rank(a.Name), rank(b.Name)), strings.Compare(a.Name, b.Name))
}

// sortByTime sorts by time, then by the order in which a trip meets the topics.
func sortByTime(all []Event) {
	flow := events.Topics()
	slices.SortFunc(all, func(a, b Event) int {
		return cmp.Or(
			a.Timestamp.Compare(b.Timestamp),
			cmp.Compare(slices.Index(flow, a.Topic), slices.Index(flow, b.Topic)),
			cmp.Compare(a.Partition, b.Partition),
			cmp.Compare(a.Offset, b.Offset))
	})
}

// markDuplicates marks events, which are in order, that have come before.
func markDuplicates(all []Event) {
	type identity struct{ topic, source, id string }
	seen := make(map[identity]bool, len(all))
	for i := range all {
		e := &all[i]
		is := identity{e.Topic, e.Get("source"), e.Get("id")}
		if e.Retraction || is.id == "" {
			continue
		}
		e.Duplicate = seen[is]
		seen[is] = true
	}
}

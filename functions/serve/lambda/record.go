package lambda

import (
	"encoding/base64"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	awsevents "github.com/aws/aws-lambda-go/events"
	"github.com/cloudevents/sdk-go/v2/event"

	"tripcast.dev/events"
)

// Extensions that a KafkaSource sets on every event.
const (
	partitionExtension = "knativekafkapartition"
	offsetExtension    = "knativekafkaoffset"
)

// deliveries makes an event of every record, partition by partition.
func deliveries(records map[string][]awsevents.KafkaRecord) []delivery {
	var batch []delivery
	for _, partition := range slices.Sorted(maps.Keys(records)) {
		for i := range records[partition] {
			r := &records[partition][i]
			batch = append(batch, delivery{partition: partition, offset: r.Offset, event: eventOf(r)})
		}
	}
	return batch
}

// eventOf is the event that a KafkaSource makes of a record. A record that is no
// CloudEvent, or only claims to be one, becomes the data of one: it is the
// handler that says what it does not want.
func eventOf(r *awsevents.KafkaRecord) event.Event {
	record := events.Record{Key: decoded(r.Key), Value: decoded(r.Value)}
	for _, h := range r.Headers {
		for _, key := range slices.Sorted(maps.Keys(h)) { // one, as Lambda writes them
			record.Headers = append(record.Headers, events.Header{Key: key, Value: h[key]})
		}
	}
	e, err := events.FromRecord(record)
	if err != nil {
		e = plainEvent(r, record)
	}
	e.SetExtension(partitionExtension, strconv.FormatInt(r.Partition, 10))
	e.SetExtension(offsetExtension, strconv.FormatInt(r.Offset, 10))
	return e
}

// decoded reads what Lambda has encoded in base64. What is not, which Lambda
// does not send, is left as it is: the handler will not know it.
func decoded(text string) []byte {
	if text == "" {
		return nil
	}
	b, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return []byte(text)
	}
	return b
}

// plainEvent makes an event of a record that is none. Its id is the record's
// place in the topic, so that a redelivery has the same, and its source that of
// the KafkaSource of this topic in infra/knative, so that it is one event
// wherever it is handled.
func plainEvent(r *awsevents.KafkaRecord, record events.Record) event.Event {
	topic := sourceName(r.Topic)
	attributes := []events.Attribute{
		{Name: "specversion", Value: event.CloudEventsVersionV1},
		{Name: "id", Value: fmt.Sprintf("partition:%d/offset:%d", r.Partition, r.Offset)},
		{Name: "type", Value: events.TypeKafka},
		{Name: "source", Value: fmt.Sprintf("/apis/v1/namespaces/tripcast/kafkasources/%s#%[1]s", topic)},
		{Name: "subject", Value: fmt.Sprintf("partition:%d#%d", r.Partition, r.Offset)},
	}
	if key := carried(string(record.Key)); key != "" {
		attributes = append(attributes, events.Attribute{Name: "partitionkey", Value: key}, events.Attribute{Name: "key", Value: key})
	}
	for _, h := range record.Headers {
		value := carried(string(h.Value))
		if strings.EqualFold(h.Key, "content-type") {
			attributes = append(attributes, events.Attribute{Name: "datacontenttype", Value: strings.ToLower(value)})
		} else if value != "" {
			attributes = append(attributes, events.Attribute{Name: "kafkaheader" + strings.Map(nameRune, h.Key), Value: value})
		}
	}
	e, err := events.FromAttributes(attributes, record.Value)
	if err != nil { // every attribute was made one that is valid
		panic(fmt.Sprintf("lambda: event of a plain record: %v", err))
	}
	if t := r.Timestamp.UTC(); t.Year() >= 0 && t.Year() <= 9999 { // those that RFC 3339 can write
		e.SetTime(t)
	}
	return e
}

// carried is what an attribute can carry of a text: no control characters, and
// only UTF-8.
func carried(text string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return -1
		}
		return r
	}, strings.ToValidUTF8(text, "\uFFFD"))
}

// sourceName is a topic's name, of which Kafka allows only letters, digits,
// dots, dashes and underscores.
func sourceName(topic string) string {
	return strings.Map(func(r rune) rune {
		if r == '.' || r == '-' || r == '_' || nameRune(r) >= 0 {
			return r
		}
		return -1
	}, topic)
}

// nameRune keeps of a name what an attribute's may have.
func nameRune(r rune) rune {
	switch {
	case r >= 'A' && r <= 'Z':
		return r + 'a' - 'A'
	case r >= 'a' && r <= 'z', r >= '0' && r <= '9':
		return r
	}
	return -1
}

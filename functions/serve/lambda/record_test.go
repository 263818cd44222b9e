package lambda

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	awsevents "github.com/aws/aws-lambda-go/events"
	"github.com/cloudevents/sdk-go/v2/event"

	"tripcast.dev/events"
)

// The payload that AWS documents: no CloudEvent, and a key that is no text.
// https://docs.aws.amazon.com/lambda/latest/dg/with-kafka.html
func TestDocumentedPayload(t *testing.T) {
	payload, err := os.ReadFile("testdata/self-managed-kafka.json")
	if err != nil {
		t.Fatal(err)
	}
	batch, err := decodeBatch(payload)
	if err != nil || len(batch) != 1 {
		t.Fatalf("%d deliveries, %v", len(batch), err)
	}
	d := batch[0]
	if d.partition != "mytopic-0" || d.offset != 15 {
		t.Errorf("it is %s at %d", d.partition, d.offset)
	}
	e := d.event
	if e.Type() != events.TypeKafka || e.ID() != "partition:0/offset:15" || e.Subject() != "partition:0#15" ||
		e.Source() != "/apis/v1/namespaces/tripcast/kafkasources/mytopic#mytopic" ||
		!e.Time().Equal(time.UnixMilli(1545084650987)) || string(e.Data()) != "Hello, this is a test." {
		t.Errorf("the event is %s", e)
	}
	want := map[string]any{
		"knativekafkapartition": "0", "knativekafkaoffset": "15", "kafkaheaderheaderkey": "headerValue",
		"key": e.Extensions()["partitionkey"], "partitionkey": e.Extensions()["partitionkey"],
	}
	if got := e.Extensions(); fmt.Sprint(got) != fmt.Sprint(want) || !strings.Contains(fmt.Sprint(got["key"]), "\uFFFD") {
		t.Errorf("extensions %v, want %v", got, want)
	}
	if err := e.Validate(); err != nil {
		t.Error(err)
	}
}

// kafkaRecord is a record as Lambda writes it.
func kafkaRecord(offset int64, key, value string, headers ...string) awsevents.KafkaRecord {
	r := awsevents.KafkaRecord{Topic: "labels", Partition: 2, Offset: offset, Key: base64Of(key), Value: base64Of(value)}
	for i := 0; i < len(headers); i += 2 {
		r.Headers = append(r.Headers, map[string]awsevents.JSONNumberBytes{headers[i]: []byte(headers[i+1])})
	}
	return r
}

func TestEventOf(t *testing.T) {
	attributes := []string{"ce_specversion", "1.0", "ce_id", "t1", "ce_source", "/x", "ce_type", "a.b", "ce_partitionkey", "t1"}
	structured := `{"specversion":"1.0","id":"t1","source":"/x","type":"a.b","data":{"a":1}}`
	for _, tt := range []struct {
		name     string
		record   awsevents.KafkaRecord
		typ, id  string
		data     string
		contents string // the content type
	}{
		{"binary", kafkaRecord(7, "k", `{"a":1}`, append(attributes, "content-type", "application/json")...), "a.b", "t1", `{"a":1}`, "application/json"},
		{"retraction", kafkaRecord(7, "k", "", attributes...), "a.b", "t1", "", ""},
		{"structured", kafkaRecord(7, "k", structured, "content-type", "application/cloudevents+json; charset=UTF-8"), "a.b", "t1", `{"a":1}`, ""},
		{
			"broken structured", kafkaRecord(7, "", structured[1:], "Content-Type", "application/cloudevents+json"),
			events.TypeKafka, "partition:2/offset:7", structured[1:], "application/cloudevents+json",
		},
		{"plain", kafkaRecord(7, "k", `{"a":1}`, "materialize-timestamp", "12"), events.TypeKafka, "partition:2/offset:7", `{"a":1}`, ""},
		{"a claim in vain", kafkaRecord(7, "k", `{"a":1}`, "ce_id", "t1"), events.TypeKafka, "partition:2/offset:7", `{"a":1}`, ""},
		{"nothing at all", kafkaRecord(7, "", ""), events.TypeKafka, "partition:2/offset:7", "", ""},
		{"bytes", kafkaRecord(7, "\x00\xff", "\x00\xff", "a", "\x00\xff", "b\n", "\x7f", "", "c"), events.TypeKafka, "partition:2/offset:7", "\x00\xff", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			payload, err := json.Marshal(awsevents.KafkaEvent{
				EventSource: "aws:kafka", Records: map[string][]awsevents.KafkaRecord{"labels-2": {tt.record}},
			})
			if err != nil {
				t.Fatal(err)
			}
			batch, err := decodeBatch(payload) // through JSON, in which header values are numbers
			if err != nil {
				t.Fatal(err)
			}
			e := batch[0].event
			if e.Type() != tt.typ || e.ID() != tt.id || string(e.Data()) != tt.data || e.DataContentType() != tt.contents {
				t.Errorf("the event is %s", e)
			}
			if x := e.Extensions(); x["knativekafkapartition"] != "2" || x["knativekafkaoffset"] != "7" {
				t.Errorf("extensions %v", x)
			}
			if err := e.Validate(); err != nil {
				t.Error(err)
			}
		})
	}
}

// Records of partitions and offsets keep their place, whatever order JSON has.
func TestBatchIsInOrder(t *testing.T) {
	batch := deliveries(map[string][]awsevents.KafkaRecord{
		"labels-1": {kafkaRecord(5, "", ""), kafkaRecord(6, "", "")}, "labels-0": {kafkaRecord(9, "", "")},
	})
	var got []string
	for _, d := range batch {
		got = append(got, fmt.Sprintf("%s@%d", d.partition, d.offset))
	}
	if want := "[labels-0@9 labels-1@5 labels-1@6]"; fmt.Sprint(got) != want {
		t.Errorf("%v, want %s", got, want)
	}
}

// FuzzDecodeBatch holds decoding to this: a payload is refused as a whole or is
// events, each of which can be handled and can be written as a dead letter.
func FuzzDecodeBatch(f *testing.F) {
	sample, err := os.ReadFile("testdata/self-managed-kafka.json")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(sample)
	f.Add([]byte(`{"eventSource":"aws:kafka","records":{"a-0":[{"topic":"a","value":"e30=","headers":[{"ce_id":[-1]}]},{"value":"*"}]}}`))
	f.Add([]byte(`{"eventSource":"SelfManagedKafka","records":{"":[{"timestamp":-99999999999999999,"key":"AA==","headers":[{"Content-Type":[65,47,66,10]},{"":[1],"b":null}]}]}}`))
	f.Add([]byte(`{"eventSource":"SelfManagedKafka","records":{"a-0":[{"topic":"%zz?#","partition":-1,"headers":null}]}}`))
	fun, err := New(nil, Options{Name: "learn", Producer: &producer{}, DeadLetters: "dead_letters"})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		batch, err := decodeBatch(payload)
		if err != nil && len(batch) > 0 {
			t.Errorf("%v, and %d deliveries", err, len(batch))
		}
		for _, d := range batch {
			d.err = &events.InvalidError{Field: "type", Reason: "is not wanted"}
			if d.event.ID() == "" || d.event.Type() == "" || d.event.Source() == "" {
				t.Errorf("no event: %s", d.event)
			}
			if _, err := fun.recordOf(context.Background(), &d); err != nil {
				t.Errorf("%s cannot be a dead letter: %v", d.event, err)
			}
		}
	})
}

// What is no batch of Kafka records is told apart from an empty one: it is how
// somebody invokes a function by hand.
func TestNoKafkaEvent(t *testing.T) {
	for _, payload := range []string{"", "{}", `{"key1":"value1"}`, `{"eventSource":"aws:sqs"}`, `[]`, `{"eventSource":"aws:kafka","records":7}`} {
		if _, err := decodeBatch([]byte(payload)); err == nil || !strings.Contains(err.Error(), "Kafka event") {
			t.Errorf("%q: %v", payload, err)
		}
	}
	if batch, err := decodeBatch([]byte(`{"eventSource":"aws:kafka"}`)); err != nil || len(batch) != 0 {
		t.Errorf("an empty batch: %v, %v", batch, err)
	}
}

// invalid is what a handler says to what it can never handle.
func invalid(e event.Event) error {
	return fmt.Errorf("handle %s: %w", e.ID(), &events.InvalidError{Field: "type", Reason: fmt.Sprintf("%q is not wanted", e.Type())})
}

var errAway = errors.New("nobody answers")

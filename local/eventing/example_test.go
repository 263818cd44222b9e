package eventing_test

import (
	"fmt"
	"testing/fstest"

	"tripcast.dev/local/eventing"
)

// A mistake in a manifest is found before anything runs.
func ExampleLoad() {
	_, err := eventing.Load(fstest.MapFS{"sources.yaml": {Data: []byte(`
apiVersion: sources.knative.dev/v1
kind: KafkaSource
metadata:
  name: features
  namespace: tripcast
spec:
  bootstrapServers: [redpanda:9092]
  topics: [features]
  ordering: parallel
  sink:
    ref: {apiVersion: serving.knative.dev/v1, kind: Service, name: predict}
  delivery:
    deadLetterSink: {uri: "http://dead.example"}
`)}})
	fmt.Println(err)
	// Output:
	// sources.yaml: document 1 (KafkaSource tripcast/features): spec.ordering: "parallel" is none of ordered, unordered
	// sources.yaml: document 1 (KafkaSource tripcast/features): spec.sink.ref: points to Service tripcast/predict, which no manifest defines
}

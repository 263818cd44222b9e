package eventing_test

import (
	"errors"
	"io/fs"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	servingv1 "knative.dev/serving/pkg/apis/serving/v1"

	"tripcast.dev/events"
	"tripcast.dev/infra"
	"tripcast.dev/infra/knative/manifest"
	"tripcast.dev/local/eventing"
)

// What is deployed is what runs here.
func TestInfraLoads(t *testing.T) {
	m, err := eventing.Load(infra.Knative())
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, s := range m.Sources {
		got = append(got, "source "+s.Name+" of "+strings.Join(s.Spec.Topics, ",")+" "+s.Spec.InitialOffset+" to "+s.Spec.Sink.Ref.Name)
	}
	for _, s := range m.Sinks {
		got = append(got, "sink "+s.Name+" to "+s.Spec.Topic)
	}
	for _, b := range m.Bindings {
		got = append(got, "binding of "+b.Spec.Subject.Name+" to "+b.Spec.Sink.Ref.Name)
	}
	for _, s := range m.Services {
		got = append(got, "service "+s.Name)
	}
	slices.Sort(got)
	want := []string{
		"binding of predict to predictions",
		"service learn", "service monitor", "service predict", "service promote",
		"sink dead-letters to dead_letters", "sink predictions to predictions",
		"source champions of champions earliest to promote",
		"source features of features earliest to predict", "source labels of labels earliest to learn",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	for _, s := range m.Sources {
		if d := s.Spec.Delivery; d == nil || d.Retry == nil || *d.Retry == 0 {
			t.Errorf("KafkaSource %s: retry is not spelled out, and without it there are none", s.Name)
		}
	}
}

// The manifests name topics by hand; the events know them by these names.
func TestInfraNamesTheTopicsOfEvents(t *testing.T) {
	m, err := eventing.Load(infra.Knative())
	if err != nil {
		t.Fatal(err)
	}
	got := map[string][]string{}
	for _, s := range m.Sources {
		got[s.Spec.Sink.Ref.Name] = s.Spec.Topics
	}
	for _, s := range m.Sinks {
		got[s.Name] = []string{s.Spec.Topic}
	}
	want := map[string][]string{
		"predict": {events.TopicFeatures}, "learn": {events.TopicLabels}, "promote": {events.TopicChampions},
		"predictions": {events.TopicPredictions}, "dead-letters": {events.TopicDeadLetters},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// learn commits together what is in flight together: all that its source keeps in
// flight has to fit into one replica, or a second one contends for the same models.
func TestInfraFitsGroupCommit(t *testing.T) {
	m, err := eventing.Load(infra.Knative())
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(m.Services, func(s *servingv1.Service) bool { return s.Name == "learn" })
	j := slices.IndexFunc(m.Sources, func(s *manifest.KafkaSource) bool { return s.Name == "labels" })
	learn, labels := m.Services[i].Spec.Template, m.Sources[j]
	const poll = 50 // records of one consumer, in Knative and here
	if got, want := *learn.Spec.ContainerConcurrency, int64(*labels.Spec.Consumers)*poll; got != want {
		t.Errorf("learn takes %d requests at once, its source keeps %d in flight", got, want)
	}
	if target := learn.Annotations["autoscaling.knative.dev/target-utilization-percentage"]; target != "100" {
		t.Errorf("a second learner comes at %s%% of that", target)
	}
}

func TestLoadFillsInDefaults(t *testing.T) {
	minimal := `
apiVersion: sources.knative.dev/v1
kind: KafkaSource
metadata: {name: in}
spec:
  bootstrapServers: [kafka:9092]
  topics: [in]
  sink: {uri: "http://function"}
  delivery: {deadLetterSink: {uri: "http://dead"}}
---
# nothing but a comment
---
apiVersion: eventing.knative.dev/v1alpha1
kind: KafkaSink
metadata: {name: out}
spec: {bootstrapServers: [kafka:9092], topic: out}
---
apiVersion: v1
kind: Secret
metadata: {name: skipped}
`
	m, err := eventing.Load(fstest.MapFS{
		"a.yaml":             {Data: []byte(minimal)},
		"kustomization.yaml": {Data: []byte("resources: [a.yaml]")},
		"README.md":          {Data: []byte("not: [a manifest")},
		"overlays/b.yaml":    {Data: []byte("not: [a manifest")},
	})
	if err != nil {
		t.Fatal(err)
	}
	s := m.Sources[0]
	if s.Namespace != "default" || s.Spec.ConsumerGroup != "knative-kafka-source-default-in" || *s.Spec.Consumers != 1 ||
		s.Spec.InitialOffset != manifest.OffsetLatest || s.Spec.Ordering != manifest.OrderingOrdered {
		t.Errorf("source %+v: want Knative's defaults", s)
	}
	if mode := m.Sinks[0].Spec.ContentMode; mode != manifest.ContentModeBinary {
		t.Errorf("content mode %q, want binary", mode)
	}
}

func TestLoadErrors(t *testing.T) {
	good := source(unordered, "consumers: 3", delivery)
	replace := func(of, old, with string) string {
		if !strings.Contains(of, old) {
			t.Fatalf("%q is not in the manifest", old)
		}
		return strings.Replace(of, old, with, 1)
	}
	in := func(old, with string) []string {
		return []string{function, kafkaSink("dead"), replace(good, old, with)}
	}
	out := func(old, with string) []string { return []string{replace(kafkaSink("out"), old, with)} }
	bound := func(old, with string) []string {
		return []string{function, kafkaSink("out"), replace(binding, old, with)}
	}
	dead := "deadLetterSink: {ref: {apiVersion: eventing.knative.dev/v1alpha1, kind: KafkaSink, name: dead}}"

	for _, c := range []struct {
		name      string
		documents []string
		document  int
		object    string
		field     string
		reason    string
	}{
		{"unknown field", in("ordering:", "ordring:"), 3, "KafkaSource test/in", "spec.ordring", "unknown field"},
		{"unknown nested field", in("retry:", "retries:"), 3, "KafkaSource test/in", "spec.delivery.retries", "unknown field"},
		{"unknown field of a Service", []string{replace(function, "image:", "imgae:")}, 1, "Service test/function", "spec.template.spec.containers[0].imgae", "unknown field"},
		{"field in the wrong case", in("consumerGroup:", "consumergroup:"), 3, "KafkaSource test/in", "spec.consumergroup", "unknown field"},
		{"doubled field", in("topics: [in]", "topics: [in]\n  topics: [other]"), 3, "KafkaSource test/in", "", `"topics" already set`},
		{"wrong type", in("topics: [in]", "topics: in"), 3, "KafkaSource test/in", "spec.topics", "cannot unmarshal string"},
		{"broken YAML", in("topics: [in]", "topics: [in"), 3, "", "", "did not find"},
		{"no bootstrapServers", in("bootstrapServers: [kafka:9092]", "bootstrapServers: []"), 3, "KafkaSource test/in", "spec.bootstrapServers", "missing"},
		{"no topics", in("topics: [in]", ""), 3, "KafkaSource test/in", "spec.topics", "missing"},
		{"initialOffset", in("earliest", "first"), 3, "KafkaSource test/in", "spec.initialOffset", `"first" is none of latest, earliest`},
		{"ordering", in(unordered, "ordering: random"), 3, "KafkaSource test/in", "spec.ordering", `"random" is none of ordered, unordered`},
		{"consumers", in("consumers: 3", "consumers: -1"), 3, "KafkaSource test/in", "spec.consumers", "negative"},
		{"key type", in("name: in,", `name: in, labels: {kafkasources.sources.knative.dev/key-type: int},`), 3, "KafkaSource test/in", "metadata.labels", `"int" is not emulated`},
		{"retry", in("retry: 3", "retry: -1"), 3, "KafkaSource test/in", "spec.delivery.retry", "negative"},
		{"backoffPolicy", in("linear", "quadratic"), 3, "KafkaSource test/in", "spec.delivery.backoffPolicy", `"quadratic"`},
		{"backoffDelay", in("PT0.001S", "1s"), 3, "KafkaSource test/in", "spec.delivery.backoffDelay", `"1s" is not an ISO 8601 duration`},
		{"timeout", in("PT20S", "PT0S"), 3, "KafkaSource test/in", "spec.delivery.timeout", "zero"},
		{"negative timeout", in("PT20S", "-PT20S"), 3, "KafkaSource test/in", "spec.delivery.timeout", "negative"},
		{"retryAfterMax", in("retry: 3", "retryAfterMax: PT1S"), 3, "KafkaSource test/in", "spec.delivery.retryAfterMax", "Retry-After"},
		{"format", in("retry: 3", "format: json"), 3, "KafkaSource test/in", "spec.delivery.format", "binary"},
		{"no dead-letter sink", in(", "+dead, ""), 3, "KafkaSource test/in", "spec.delivery.deadLetterSink", "would be lost"},
		{"no delivery", []string{function, source()}, 2, "KafkaSource test/in", "spec.delivery.deadLetterSink", "would be lost"},
		{"dead-letter sink nowhere", []string{function, good}, 2, "KafkaSource test/in", "spec.delivery.deadLetterSink.ref", "points to KafkaSink test/dead, which no manifest defines"},
		{"sink nowhere", []string{kafkaSink("dead"), good}, 2, "KafkaSource test/in", "spec.sink.ref", "points to Service test/function, which no manifest defines"},
		{"sink in another namespace", in("name: function}", "name: function, namespace: other}"), 3, "KafkaSource test/in", "spec.sink.ref", "points to Service other/function"},
		{"sink of another kind", in("serving.knative.dev/v1, kind: Service", "messaging.knative.dev/v1, kind: Channel"), 3, "KafkaSource test/in", "spec.sink.ref", "messaging.knative.dev/v1 Channel test/function, which is not emulated"},
		{"no sink", in("sink: {ref: {apiVersion: serving.knative.dev/v1, kind: Service, name: function}}", ""), 3, "KafkaSource test/in", "spec.sink", "neither ref nor uri"},
		{"relative sink", in("sink: {ref: {apiVersion: serving.knative.dev/v1, kind: Service, name: function}}", "sink: {uri: /x}"), 3, "KafkaSource test/in", "spec.sink.uri", "not absolute"},
		{"ref and absolute uri", in("name: function}}", `name: function}, uri: "http://x"}`), 3, "KafkaSource test/in", "spec.sink.uri", "absolute although"},
		{"CA certificates", in("name: function}}", `name: function}, CACerts: x}`), 3, "KafkaSource test/in", "spec.sink.CACerts", "not emulated"},
		{"override", in(unordered, "ceOverrides: {extensions: {trip-id: x}}"), 3, "KafkaSource test/in", "spec.ceOverrides.extensions", `"trip-id"`},
		{"name", in("name: in,", "name: In_,"), 3, "KafkaSource test/In_", "metadata.name", "RFC 1123"},
		{"same name", []string{kafkaSink("out"), kafkaSink("out")}, 2, "KafkaSink test/out", "metadata.name", "already defined in all.yaml"},
		{"same group", []string{function, kafkaSink("dead"), good, replace(good, "name: in,", "name: again,")}, 4, "KafkaSource test/again", "spec.consumerGroup", "KafkaSource test/in shares it and topic in"},
		{"no topic", out("topic: out", ""), 1, "KafkaSink test/out", "spec.topic", "missing"},
		{"numPartitions", out("numPartitions: 1", "numPartitions: 0"), 1, "KafkaSink test/out", "spec.numPartitions", "not above 0"},
		{"replicationFactor", out("replicationFactor: 1", "replicationFactor: 0"), 1, "KafkaSink test/out", "spec.replicationFactor", "not above 0"},
		{"half a topic", out("replicationFactor: 1", ""), 1, "KafkaSink test/out", "spec.numPartitions", "both"},
		{"contentMode", out("topic: out", "topic: out\n  contentMode: avro"), 1, "KafkaSink test/out", "spec.contentMode", `"avro" is none of binary, structured`},
		{"binding of nothing", []string{kafkaSink("out"), binding}, 2, "SinkBinding test/bound", "spec.subject", "points to Service test/function, which no manifest defines"},
		{"binding of a Deployment", bound("apiVersion: serving.knative.dev/v1, kind: Service", "apiVersion: apps/v1, kind: Deployment"), 3, "SinkBinding test/bound", "spec.subject", "apps/v1 Deployment is not emulated"},
		{"binding by selector", bound("name: function}", "selector: {matchLabels: {a: b}}}"), 3, "SinkBinding test/bound", "spec.subject.selector", "not emulated"},
		{"binding to nowhere", []string{function, binding}, 2, "SinkBinding test/bound", "spec.sink.ref", "points to KafkaSink test/out, which no manifest defines"},
		{"two bindings", []string{function, kafkaSink("out"), binding, replace(binding, "name: bound", "name: bound2")}, 4, "SinkBinding test/bound2", "spec.subject", "already has its K_SINK from SinkBinding bound"},
		{"unknown kind", []string{kafkaSink("out"), "apiVersion: eventing.knative.dev/v1\nkind: Trigger\nmetadata: {name: t}"}, 2, "Trigger default/t", "apiVersion", `"eventing.knative.dev/v1" "Trigger" is not emulated`},
		{"misspelt group", []string{replace(kafkaSink("out"), "knative.dev", "knative.de")}, 1, "KafkaSink test/out", "apiVersion", "is not emulated"},
		{"no kind", []string{"apiVersion: v1\nmetadata: {name: x}"}, 1, " default/x", "apiVersion", "is not emulated"},
	} {
		t.Run(c.name, func(t *testing.T) {
			m, err := eventing.Load(fstest.MapFS{"all.yaml": {Data: []byte(strings.Join(c.documents, "\n---\n"))}})
			if err == nil {
				t.Fatalf("loaded %+v", m)
			}
			var got *manifest.Error
			if !errors.As(err, &got) {
				t.Fatalf("%T %v: want a *manifest.Error", err, err)
			}
			if got.File != "all.yaml" || got.Document != c.document || got.Object != c.object || got.Field != c.field || !strings.Contains(got.Reason, c.reason) {
				t.Errorf("%v\nwant document %d, object %q, field %q, reason %q", got, c.document, c.object, c.field, c.reason)
			}
			for _, part := range []string{"all.yaml", c.object, c.field} {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("%q does not say %q", err, part)
				}
			}
		})
	}
}

// Everything wrong is said at once.
func TestLoadReportsAll(t *testing.T) {
	bad := strings.NewReplacer("earliest", "first", "topics: [in]", "").Replace(source("ordering: random"))
	_, err := eventing.Load(fstest.MapFS{"a.yaml": {Data: []byte(bad)}, "b.yaml": {Data: []byte(strings.Replace(kafkaSink("out"), "topic: out", "", 1))}})
	for _, want := range []string{"spec.initialOffset", "spec.topics", "spec.ordering", "spec.sink.ref", "deadLetterSink", "b.yaml", "spec.topic:"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v\ndoes not name %s", err, want)
		}
	}
}

func TestLoadNothing(t *testing.T) {
	for name, fsys := range map[string]fs.FS{
		"no file":       fstest.MapFS{},
		"nothing of it": fstest.MapFS{"a.yaml": {Data: []byte("apiVersion: v1\nkind: Namespace\nmetadata: {name: x}")}},
	} {
		if _, err := eventing.Load(fsys); err == nil {
			t.Errorf("%s: loaded", name)
		}
	}
}

func FuzzLoad(f *testing.F) {
	manifests, err := fs.Glob(infra.Knative(), "*.yaml")
	if err != nil {
		f.Fatal(err)
	}
	for _, name := range manifests {
		content, err := fs.ReadFile(infra.Knative(), name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(content)
	}
	f.Add([]byte(strings.Join([]string{function, kafkaSink("dead"), source(delivery), kafkaSink("out"), binding}, "\n---\n")))
	f.Add([]byte("---\n---\n"))
	f.Add([]byte("apiVersion: sources.knative.dev/v1\nkind: KafkaSource\nspec: {sink: {uri: ':'}}"))
	f.Fuzz(func(t *testing.T, content []byte) {
		m, err := eventing.Load(fstest.MapFS{"f.yaml": {Data: content}})
		if (m == nil) == (err == nil) {
			t.Fatalf("got %v and %v", m, err)
		}
		if err != nil {
			return
		}
		for _, s := range m.Sources { // what Load lets through, StartSources relies on
			if s.Spec.Consumers == nil || s.Spec.Delivery.DeadLetterSink == nil || len(s.Spec.Topics) == 0 || s.Spec.ConsumerGroup == "" {
				t.Fatalf("incomplete source %+v", s)
			}
		}
	})
}

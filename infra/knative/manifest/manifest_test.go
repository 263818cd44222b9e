package manifest_test

import (
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	eventingduckv1 "knative.dev/eventing/pkg/apis/duck/v1"

	"tripcast.dev/infra/knative/manifest"
)

const source = `
apiVersion: sources.knative.dev/v1
kind: KafkaSource
metadata: {name: in}
spec:
  bootstrapServers: [kafka:9092]
  topics: [in]
  sink: {uri: "http://function"}
`

// kinds knows KafkaSources and KafkaSinks, and skips ConfigMaps.
func kinds(apiVersion, kind string) (any, error) {
	switch apiVersion + " " + kind {
	case "sources.knative.dev/v1 KafkaSource":
		return new(manifest.KafkaSource), nil
	case "eventing.knative.dev/v1alpha1 KafkaSink":
		return new(manifest.KafkaSink), nil
	case "v1 ConfigMap":
		return nil, nil
	}
	return nil, errors.New("not here")
}

func TestDecode(t *testing.T) {
	stream := source + "---\n# nothing but a comment\n---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: skipped}\n---\n" +
		strings.NewReplacer("name: in", "name: again, namespace: other", "KafkaSource", "KafkaSource # the same").Replace(source)
	objects, err := manifest.Decode("file.yaml", []byte(stream), kinds)
	if err != nil || len(objects) != 2 {
		t.Fatalf("%v, %v", objects, err)
	}
	first, second := objects[0], objects[1]
	if first.String() != "KafkaSource default/in" || first.File != "file.yaml" || first.Document != 1 || first.Group() != "sources.knative.dev" {
		t.Errorf("first %+v", first)
	}
	if second.String() != "KafkaSource other/again" || second.Document != 3 { // the comment does not count
		t.Errorf("second %+v", second)
	}
	if s, ok := first.Value.(*manifest.KafkaSource); !ok || s.Namespace != "default" || s.Spec.Topics[0] != "in" {
		t.Errorf("value %+v", first.Value)
	}
}

// What can be read is returned beside what is wrong, and all of it is told.
func TestDecodeErrors(t *testing.T) {
	stream := strings.Replace(source, "topics", "topic", 1) + "---\nkind: Other\nmetadata: {name: x}\n---\n[not: an object\n---\n" +
		strings.Replace(source, "topics: [in]", "topics: [in]\n  topics: [in]", 1) + "---\n- a list\n---\n" + source
	objects, err := manifest.Decode("f", []byte(stream), kinds)
	if len(objects) != 2 {
		t.Errorf("read %v", objects)
	}
	want := []string{
		`f: document 1 (KafkaSource default/in): spec.topic: unknown field "spec.topic"`,
		`f: document 2 (Other default/x): apiVersion: not here`,
		`f: document 3: yaml: line 1: did not find expected ',' or ']'`,
		`f: document 4 (KafkaSource default/in): yaml: unmarshal errors: line 8: key "topics" already set in map`,
		`f: document 5: json: cannot unmarshal array`,
	}
	lines := strings.Split(err.Error(), "\n")
	if len(lines) != len(want) {
		t.Fatalf("got\n%v", err)
	}
	for i, line := range lines {
		if !strings.HasPrefix(line, want[i]) {
			t.Errorf("got  %s\nwant %s", line, want[i])
		}
	}
}

func TestDefaults(t *testing.T) {
	objects, err := manifest.Decode("f", []byte(source), kinds)
	if err != nil {
		t.Fatal(err)
	}
	s := objects[0].Value.(*manifest.KafkaSource)
	s.SetDefaults()
	if problems := s.Validate(); len(problems) > 0 {
		t.Error(problems)
	}
	if s.Spec.ConsumerGroup != "knative-kafka-source-default-in" || *s.Spec.Consumers != 1 || s.Spec.InitialOffset != "latest" || s.Spec.Ordering != "ordered" {
		t.Errorf("%+v", s.Spec)
	}
}

// Credentials that would not be used, or are half there.
func TestCredentials(t *testing.T) {
	const (
		user = "user: {secretKeyRef: {name: kafka, key: user}}"
		both = user + ", password: {secretKeyRef: {name: kafka, key: password}}"
	)
	for _, c := range []struct{ net, field string }{
		{"{sasl: {enable: true, " + both + "}}", ""},
		{"{sasl: {enable: true, " + both + "}, tls: {enable: true}}", ""},
		{"{tls: {enable: true, caCert: {secretKeyRef: {name: kafka, key: ca.crt}}}}", ""},
		{"{}", ""},
		{"{sasl: {" + both + "}}", "spec.net.sasl.enable"},
		{"{sasl: {enable: true, " + user + "}}", "spec.net.sasl"},
		{"{sasl: {enable: true, user: {secretKeyRef: {name: kafka}}, password: {secretKeyRef: {name: kafka, key: password}}}}", "spec.net.sasl.user"},
		{"{tls: {caCert: {secretKeyRef: {name: kafka, key: ca.crt}}}}", "spec.net.tls.enable"},
		{"{tls: {enable: true, cert: {secretKeyRef: {name: kafka, key: user.crt}}}}", "spec.net.tls"},
	} {
		objects, err := manifest.Decode("f", []byte(source+"  net: "+c.net), kinds)
		if err != nil {
			t.Fatal(err)
		}
		s := objects[0].Value.(*manifest.KafkaSource)
		s.SetDefaults()
		problems := s.Validate()
		if c.field == "" && len(problems) > 0 || c.field != "" && (len(problems) != 1 || problems[0].Field != c.field) {
			t.Errorf("%s: got %v, want %q", c.net, problems, c.field)
		}
	}
}

func TestKafkaSinkAuth(t *testing.T) {
	const sink = `
apiVersion: eventing.knative.dev/v1alpha1
kind: KafkaSink
metadata: {name: out}
spec: {bootstrapServers: [kafka:9092], topic: out, auth: `
	for auth, wrong := range map[string]bool{
		"{secret: {ref: {name: kafka}}}": false, "{}": true, "{secret: {}}": true, "{secret: {ref: {}}}": true,
	} {
		objects, err := manifest.Decode("f", []byte(sink+auth+"}"), kinds)
		if err != nil {
			t.Fatal(err)
		}
		s := objects[0].Value.(*manifest.KafkaSink)
		s.SetDefaults()
		if problems := s.Validate(); (len(problems) > 0) != wrong {
			t.Errorf("%s: %v", auth, problems)
		}
	}
}

func TestReadDelivery(t *testing.T) {
	text := func(s string) *string { return &s }
	retries, linear := int32(4), eventingduckv1.BackoffPolicyLinear
	for _, c := range []struct {
		name string
		spec *eventingduckv1.DeliverySpec
		want manifest.Delivery
	}{
		{"none at all", nil, manifest.Delivery{Retries: 10, Timeout: 600 * time.Second, Backoff: 300 * time.Millisecond}},
		{"an empty one retries nothing", &eventingduckv1.DeliverySpec{}, manifest.Delivery{Timeout: 600 * time.Second, Backoff: 300 * time.Millisecond}},
		{
			"all of it", &eventingduckv1.DeliverySpec{Retry: &retries, BackoffPolicy: &linear, BackoffDelay: text("PT0.5S"), Timeout: text("PT1M")},
			manifest.Delivery{Retries: 4, Timeout: time.Minute, Backoff: 500 * time.Millisecond, Linear: true},
		},
	} {
		got, problems := manifest.ReadDelivery(c.spec)
		if got != c.want || len(problems) > 0 {
			t.Errorf("%s: %+v, %v", c.name, got, problems)
		}
	}
	few := int32(-1)
	_, problems := manifest.ReadDelivery(&eventingduckv1.DeliverySpec{Retry: &few, BackoffDelay: text("soon"), Timeout: text("PT0S"), RetryAfterMax: text("PT1S")})
	var fields []string
	for _, p := range problems {
		fields = append(fields, p.Field)
	}
	if want := []string{"retryAfterMax", "retry", "backoffDelay", "timeout"}; !reflect.DeepEqual(fields, want) {
		t.Errorf("got %v, want %v", fields, want)
	}
}

// A stream of any bytes is objects or an error, and no object lies in no namespace.
func FuzzDecode(f *testing.F) {
	f.Add([]byte(source))
	f.Add([]byte("---\n---\nkind: [x]\n"))
	f.Add([]byte("apiVersion: v1\nkind: ConfigMap\nmetadata: null\n"))
	f.Fuzz(func(t *testing.T, stream []byte) {
		objects, _ := manifest.Decode("f", stream, kinds)
		for _, o := range objects {
			if o.Value == nil || o.Kind != "Namespace" && o.Meta.GetNamespace() == "" {
				t.Errorf("%+v", o)
			}
		}
	})
}

package eventing_test

import (
	"errors"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/twmb/franz-go/pkg/kgo"

	"tripcast.dev/local/eventing"
)

func post(t testing.TB, method, url string, header map[string]string, body string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range header {
		req.Header.Set(name, value)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

func sinkURL(t testing.TB, e *eventing.Eventing, name string) string {
	t.Helper()
	url, err := e.SinkURL("test", name)
	if err != nil {
		t.Fatal(err)
	}
	return url
}

// withEvent is the header of a valid binary-mode event, changed by pairs; a pair
// with an empty value takes the header away.
func withEvent(pairs ...string) map[string]string {
	h := map[string]string{"Ce-Specversion": "1.0", "Ce-Id": "e", "Ce-Source": "/s", "Ce-Type": "t"}
	for i := 0; i < len(pairs); i += 2 {
		if h[pairs[i]] = pairs[i+1]; pairs[i+1] == "" {
			delete(h, pairs[i])
		}
	}
	return h
}

func headersOf(r *kgo.Record) map[string]string {
	m := map[string]string{}
	for _, h := range r.Headers {
		m[h.Key] = string(h.Value)
	}
	return m
}

func TestKafkaSinkAnswers(t *testing.T) {
	k := startKafka(t)
	e := run(t, k, "", load(t, kafkaSink("out")))
	url := sinkURL(t, e, "out")
	structured := map[string]string{"Content-Type": "application/cloudevents+json"}
	for _, c := range []struct {
		name, method, url string
		header            map[string]string
		body              string
		want              int
		says              string
	}{
		{"event", "POST", url, withEvent(), `{}`, 202, ""},
		{"no data", "POST", url, withEvent(), ``, 202, ""},
		{"structured", "POST", url, structured, `{"specversion":"1.0","id":"e","source":"/s","type":"t"}`, 202, ""},
		{"no id", "POST", url, withEvent("Ce-Id", ""), `{}`, 400, "id is missing"},
		{"no source", "POST", url, withEvent("Ce-Source", ""), `{}`, 400, "source is missing"},
		{"no type", "POST", url, withEvent("Ce-Type", ""), `{}`, 400, "type is missing"},
		{"no specversion", "POST", url, withEvent("Ce-Specversion", ""), `{}`, 400, "specversion is missing"},
		{"specversion", "POST", url, withEvent("Ce-Specversion", "2.0"), `{}`, 400, `specversion "2.0"`},
		{"time", "POST", url, withEvent("Ce-Time", "today"), `{}`, 400, `time "today"`},
		{"attribute name", "POST", url, withEvent("Ce-Trip-Id", "1"), `{}`, 400, `"trip-id"`},
		{"plain JSON", "POST", url, map[string]string{"Content-Type": "application/json"}, `{}`, 400, "not a CloudEvent"},
		{"broken structured", "POST", url, structured, `{"specversion":`, 400, "not a CloudEvent"},
		{"structured without type", "POST", url, structured, `{"specversion":"1.0","id":"e","source":"/s"}`, 400, "type"},
		{"batch", "POST", url, map[string]string{"Content-Type": "application/cloudevents-batch+json"}, `[]`, 400, "batch"},
		{"too large", "POST", url, withEvent(), strings.Repeat("x", 9<<20), 413, "too large"},
		{"too large for Kafka", "POST", url, withEvent(), strings.Repeat("x", 2<<20), 503, "MESSAGE_TOO_LARGE"},
		{"unknown sink", "POST", url + "x", withEvent(), `{}`, 404, "/test/outx"},
		{"GET", "GET", url, nil, ``, 405, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			status, text := post(t, c.method, c.url, c.header, c.body)
			if status != c.want || !strings.Contains(text, c.says) {
				t.Errorf("%d %q, want %d and %q in it", status, text, c.want, c.says)
			}
		})
	}
	ends, err := k.adm.ListEndOffsets(t.Context(), "out")
	if err != nil {
		t.Fatal(err)
	}
	if end, _ := ends.Lookup("out", 0); end.Offset != 3 {
		t.Errorf("the topic has %d records, want those of the three 202", end.Offset)
	}
}

func TestKafkaSinkRecord(t *testing.T) {
	k := startKafka(t)
	e := run(t, k, "", load(t, kafkaSink("out")))
	url := sinkURL(t, e, "out")
	post(t, "POST", url, withEvent("Ce-Partitionkey", "trip%207", "Ce-Odd", "100%", "Content-Type", "application/json"), `{"a":1}`)
	post(t, "POST", url, withEvent(), ``)
	post(t, "POST", url, map[string]string{"Content-Type": "application/cloudevents+json"},
		`{"specversion":"1.0","id":"e","source":"/s","type":"t","partitionkey":"k","n":7,"datacontenttype":"text/plain","data_base64":"AQI="}`)
	rs := k.read(t, "out", 3)

	base := map[string]string{"ce_specversion": "1.0", "ce_id": "e", "ce_source": "/s", "ce_type": "t"}
	with := func(more map[string]string) map[string]string {
		m := maps.Clone(base)
		maps.Copy(m, more)
		return m
	}
	for i, want := range []struct {
		key, value string
		headers    map[string]string
	}{
		{"trip 7", `{"a":1}`, with(map[string]string{"ce_partitionkey": "trip 7", "ce_odd": "100%", "content-type": "application/json"})},
		{"", "", base},
		{"k", "\x01\x02", with(map[string]string{"ce_partitionkey": "k", "ce_n": "7", "content-type": "text/plain"})},
	} {
		if got := headersOf(rs[i]); !maps.Equal(got, want.headers) || string(rs[i].Key) != want.key || string(rs[i].Value) != want.value {
			t.Errorf("record %d: %q %q %v, want %q %q %v", i, rs[i].Key, rs[i].Value, got, want.key, want.value, want.headers)
		}
	}
	if rs[1].Value != nil || rs[1].Key != nil {
		t.Errorf("an event without data and key is %#v, %#v: want null, null", rs[1].Value, rs[1].Key)
	}
}

func TestKafkaSinkStructured(t *testing.T) {
	k := startKafka(t)
	e := run(t, k, "", load(t, kafkaSink("out", "contentMode: structured")))
	url := sinkURL(t, e, "out")
	post(t, "POST", url, withEvent("Ce-Subject", "sub", "Ce-Time", "2016-01-01T00:00:00Z", "Ce-Partitionkey", "k", "Content-Type", "application/json"), `{"a":1}`)
	post(t, "POST", url, withEvent("Content-Type", "application/json"), `{"broken`)
	for i, r := range k.read(t, "out", 2) {
		var got event.Event
		if err := got.UnmarshalJSON(r.Value); err != nil {
			t.Fatalf("%s: %v", r.Value, err)
		}
		if got.ID() != "e" || got.Source() != "/s" || got.Type() != "t" || !strings.HasPrefix(headersOf(r)["content-type"], "application/cloudevents+json") {
			t.Errorf("record %d: %s %v", i, r.Value, headersOf(r))
		}
		if want := []string{`{"a":1}`, `{"broken`}[i]; string(got.Data()) != want {
			t.Errorf("record %d: data %q, want %q", i, got.Data(), want)
		}
		if i == 0 && (got.Subject() != "sub" || got.Time().Year() != 2016 || got.Extensions()["partitionkey"] != "k" || string(r.Key) != "k") {
			t.Errorf("record 0 lost something: %s", r.Value)
		}
	}
}

func TestKafkaSinkObserver(t *testing.T) {
	k := startKafka(t)
	produced := make(chan eventing.Production, 1)
	e := run(t, k, "", load(t, kafkaSink("out")), func(c *eventing.Config) {
		c.Observer.Produced = func(p eventing.Production) { produced <- p }
		c.ProduceTimeout = 300 * time.Millisecond
	})
	url := sinkURL(t, e, "out")
	for want := range int64(2) {
		if status, text := post(t, "POST", url, withEvent("Ce-Partitionkey", "k"), `{}`); status != 202 {
			t.Fatal(status, text)
		}
		p := <-produced
		if p.Sink != "test/out" || p.Err != nil || p.Record.Offset != want || p.Record.Timestamp.IsZero() || string(p.Record.Key) != "k" || p.Finished.Before(p.Started) {
			t.Errorf("%+v: want record %d as the broker has it", p, want)
		}
	}
	k.broker.Close()
	if status, text := post(t, "POST", url, withEvent(), `{}`); status != 503 || !strings.Contains(text, "out") {
		t.Errorf("without a broker: %d %q, want 503 and the topic", status, text)
	}
	if p := <-produced; p.Err == nil {
		t.Errorf("without a broker the observer was told of no error: %+v", p)
	}
}

func TestKafkaSinkTopic(t *testing.T) {
	k := startKafka(t)
	big := strings.NewReplacer("numPartitions: 1", "numPartitions: 5", "replicationFactor: 1", "replicationFactor: 3").Replace(kafkaSink("new"))
	there := kafkaSink("there")
	k.topic(t, "there", 2)
	run(t, k, "", load(t, big, there))
	topics, err := k.adm.ListTopics(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if n := len(topics["new"].Partitions); n != 5 {
		t.Errorf("topic new has %d partitions, want 5 on the one broker there is", n)
	}
	if n := len(topics["there"].Partitions); n != 2 {
		t.Errorf("topic there has %d partitions, want the 2 it had", n)
	}
}

func TestStartErrors(t *testing.T) {
	k := startKafka(t)
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	uncreatable := strings.NewReplacer("numPartitions: 1", "", "replicationFactor: 1", "").Replace(kafkaSink("missing"))
	for _, c := range []struct {
		name string
		cfg  eventing.Config
		want []string
		is   error
	}{
		{
			"port in use",
			eventing.Config{Manifests: load(t, kafkaSink("out")), Brokers: []string{k.addr}, IngressAddr: taken.Addr().String()},
			[]string{taken.Addr().String(), "--ingress-listen"},
			syscall.EADDRINUSE,
		},
		{
			"no broker",
			eventing.Config{Manifests: load(t, kafkaSink("out")), Brokers: []string{"127.0.0.1:1"}, IngressAddr: "127.0.0.1:0"},
			[]string{"KafkaSink test/out", "127.0.0.1:1", "connection refused"},
			syscall.ECONNREFUSED,
		},
		{
			"no topic",
			eventing.Config{Manifests: load(t, uncreatable), Brokers: []string{k.addr}, IngressAddr: "127.0.0.1:0"},
			[]string{"KafkaSink test/missing", "does not exist"},
			nil,
		},
		{"no manifests", eventing.Config{}, []string{"no manifests"}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.cfg.Logger = slog.New(slog.DiscardHandler)
			e, err := eventing.Start(t.Context(), c.cfg)
			if err == nil {
				closeEventing(t, e)
				t.Fatal("started")
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q does not name %q", err, want)
				}
			}
			if c.is != nil && !errors.Is(err, c.is) {
				t.Errorf("%v: want it to wrap %v", err, c.is)
			}
		})
	}
}

const binding = `
apiVersion: sources.knative.dev/v1
kind: SinkBinding
metadata: {name: bound, namespace: test}
spec:
  subject: {apiVersion: serving.knative.dev/v1, kind: Service, name: function}
  sink: {ref: {apiVersion: eventing.knative.dev/v1alpha1, kind: KafkaSink, name: out}}
`

func TestEnv(t *testing.T) {
	k := startKafka(t)
	for _, c := range []struct {
		name, binding string
		want          map[string]string
	}{
		{"no binding", "", map[string]string{}},
		{"no overrides", binding, map[string]string{"K_SINK": "SINK", "K_CE_OVERRIDES": ""}},
		{"overrides", binding + `  ceOverrides: {extensions: {team: trips}}`, map[string]string{"K_SINK": "SINK", "K_CE_OVERRIDES": `{"extensions":{"team":"trips"}}`}},
		{
			"a Service as sink", strings.Replace(binding, "eventing.knative.dev/v1alpha1, kind: KafkaSink, name: out}", "serving.knative.dev/v1, kind: Service, name: function}, uri: /in", 1),
			map[string]string{"K_SINK": "http://function:80/in", "K_CE_OVERRIDES": ""},
		},
		{
			"a URL as sink", strings.Replace(binding, "ref: {apiVersion: eventing.knative.dev/v1alpha1, kind: KafkaSink, name: out}", `uri: "http://elsewhere/x"`, 1),
			map[string]string{"K_SINK": "http://elsewhere/x", "K_CE_OVERRIDES": ""},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := run(t, k, "http://function:80", load(t, function, kafkaSink("out"), c.binding))
			got, err := e.Env("function")
			if err != nil {
				t.Fatal(err)
			}
			if c.want["K_SINK"] == "SINK" {
				c.want["K_SINK"] = sinkURL(t, e, "out")
			}
			if !maps.Equal(got, c.want) {
				t.Errorf("%v, want %v", got, c.want)
			}
			if other, err := e.Env("other"); err != nil || len(other) != 0 {
				t.Errorf("a Service without a binding got %v, %v", other, err)
			}
		})
	}
}

// The whole way round: a dead letter posted to a KafkaSink by a KafkaSource is
// read by another KafkaSource.
func TestSinkFeedsSource(t *testing.T) {
	k := startKafka(t)
	k.topic(t, "in", 1)
	s := startSink(t, func(w http.ResponseWriter, r request) {
		if r.header.Get("Ce-Knativeerrorcode") == "" {
			w.WriteHeader(http.StatusBadRequest)
		}
	})
	again := strings.NewReplacer("name: in", "name: again", "topics: [in]", "topics: [dead]", "consumerGroup: group", "consumerGroup: again").Replace(source(delivery))
	e := run(t, k, s.url, load(t, function, kafkaSink("dead"), source(delivery), again))
	k.produce(t, cloudEvents("in", 1, 20)...)
	eventually(t, "all dead letters are delivered", func() bool {
		for _, status := range e.Status() {
			if status.Name == "test/again" && status.Delivered == 20 {
				return true
			}
		}
		return false
	})
}

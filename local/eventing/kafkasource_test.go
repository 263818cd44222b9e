package eventing_test

import (
	"encoding/base64"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"tripcast.dev/local/eventing"
)

func TestDeliversEachRecordOnce(t *testing.T) {
	for _, ordering := range []string{"ordering: ordered", unordered} {
		t.Run(ordering, func(t *testing.T) {
			const n, partitions = 300, 3
			k := startKafka(t)
			k.topic(t, "in", partitions)
			k.produce(t, cloudEvents("in", partitions, n)...)
			s := startSink(t, nil)
			e := run(t, k, s.url, load(t, function, kafkaSink("dead"), source(ordering, "consumers: 3", delivery)))
			lagGone(t, e)
			closeEventing(t, e)

			once(t, s.ids(), n)
			if got := k.committed(t, "group", "in"); got != n {
				t.Errorf("closing committed %d offsets, want all %d", got, n)
			}
		})
	}
}

func TestRequestIsTheEvent(t *testing.T) {
	k := startKafka(t)
	k.topic(t, "in", 2)
	at := time.Date(2016, 1, 2, 3, 4, 5, 6e6, time.UTC)
	header := func(key, value string) kgo.RecordHeader { return kgo.RecordHeader{Key: key, Value: []byte(value)} }
	binary := cloudEvent("in", 0, "trip 1")
	binary.Headers = append(binary.Headers, header("ce_subject", "ü\"%"), header("ce_extra", "x"), header("materialize-timestamp", "7"))
	tombstone := cloudEvent("in", 0, "gone")
	tombstone.Value = nil
	records := []*kgo.Record{
		binary,
		tombstone,
		{
			Topic: "in", Value: []byte(`{"specversion":"1.0","id":"s","source":"/s","type":"t","time":"2016-01-02T03:04:05Z","n":7,"data":{"a":1}}`),
			Headers: []kgo.RecordHeader{header("content-type", "application/cloudevents+json; charset=UTF-8")},
		},
		{
			Topic: "in", Key: []byte("key"), Value: []byte("plain"), Timestamp: at,
			Headers: []kgo.RecordHeader{header("Trace-ID", "42"), header("content-type", "Text/Plain")},
		},
		{Topic: "in", Timestamp: at}, // neither key, value nor header
		{Topic: "in", Value: []byte("v"), Timestamp: at, Headers: []kgo.RecordHeader{header("ce_id", "half an event")}},
	}
	k.produce(t, records...)
	s := startSink(t, nil)
	e := run(t, k, s.url, load(t, function, kafkaSink("dead"), source(delivery,
		`ceOverrides: {extensions: {extra: overridden, team: trips}}`)))
	lagGone(t, e)

	plain := func(offset string, more map[string]string) map[string]string {
		all := map[string]string{
			"Ce-Specversion": "1.0", "Ce-Type": eventing.TypeKafka,
			"Ce-Id": "partition:0/offset:" + offset, "Ce-Subject": "partition:0#" + offset,
			"Ce-Source": "/apis/v1/namespaces/test/kafkasources/in#in", "Ce-Time": "2016-01-02T03:04:05.006Z",
		}
		maps.Copy(all, more)
		return all
	}
	want := []struct {
		header map[string]string
		body   string
	}{
		{map[string]string{
			"Ce-Specversion": "1.0", "Ce-Id": "trip%201", "Ce-Source": "/test", "Ce-Type": "dev.test.v1",
			"Ce-Subject": "%C3%BC%22%25", "Content-Type": "application/json",
		}, `{"id":"trip 1"}`},
		{map[string]string{
			"Ce-Specversion": "1.0", "Ce-Id": "gone", "Ce-Source": "/test", "Ce-Type": "dev.test.v1",
			"Content-Type": "application/json",
		}, ""},
		{map[string]string{
			"Ce-Specversion": "1.0", "Ce-Id": "s", "Ce-Source": "/s", "Ce-Type": "t",
			"Ce-Time": "2016-01-02T03:04:05Z", "Ce-N": "7", "Content-Type": "application/json",
		}, `{"a":1}`},
		{plain("3", map[string]string{
			"Ce-Key": "key", "Ce-Partitionkey": "key", "Ce-Kafkaheadertraceid": "42", "Content-Type": "text/plain",
		}), "plain"},
		{plain("4", nil), ""},
		{plain("5", map[string]string{"Ce-Kafkaheaderceid": "half%20an%20event"}), "v"},
	}
	got := s.got()
	if len(got) != len(want) {
		t.Fatalf("%d requests, want %d", len(got), len(want))
	}
	for i, w := range want {
		w.header["Ce-Knativekafkapartition"] = "0"
		w.header["Ce-Knativekafkaoffset"] = strconv.Itoa(i)
		w.header["Ce-Extra"] = "overridden"
		w.header["Ce-Team"] = "trips"
		have := map[string]string{}
		for name, values := range got[i].header {
			if strings.HasPrefix(name, "Ce-") || name == "Content-Type" {
				have[name] = strings.Join(values, ",")
			}
		}
		if !maps.Equal(have, w.header) {
			t.Errorf("record %d: header\n%v, want\n%v", i, have, w.header)
		}
		if got[i].body != w.body {
			t.Errorf("record %d: body %q, want %q", i, got[i].body, w.body)
		}
	}
}

func TestOrderedIsOneAtATime(t *testing.T) {
	const n, partitions = 120, 2
	k := startKafka(t)
	k.topic(t, "in", partitions)
	k.produce(t, cloudEvents("in", partitions, n)...)
	var failed sync.Map
	s := startSink(t, func(w http.ResponseWriter, r request) {
		// Every tenth fails at first: what comes after it waits.
		i, _ := strconv.Atoi(r.id()[1:])
		if _, again := failed.LoadOrStore(i, true); !again && i%10 == 0 {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})
	e := run(t, k, s.url, load(t, function, kafkaSink("dead"), source("ordering: ordered", "consumers: 2", delivery)))
	lagGone(t, e)

	if s.most > partitions {
		t.Errorf("%d requests at the same time from %d partitions, want one each", s.most, partitions)
	}
	last := map[string]int{}
	for _, r := range s.got() {
		i, _ := strconv.Atoi(r.id()[1:])
		p := r.header.Get("Ce-Knativekafkapartition")
		if i < last[p] {
			t.Errorf("partition %s: e%d after e%d", p, i, last[p])
		}
		last[p] = i
	}
}

// A partition whose sink does not take an event is not read on forever, and does
// not hold up the others.
func TestOrderedPartitionsDoNotWaitForEachOther(t *testing.T) {
	const n = 600 // of which a partition's 300 are more than its queue takes
	k := startKafka(t)
	k.topic(t, "in", 2)
	k.produce(t, cloudEvents("in", 2, n)...)
	release := make(chan struct{})
	s := startSink(t, func(_ http.ResponseWriter, r request) {
		if r.id() == "e0" {
			<-release
		}
	})
	e := run(t, k, s.url, load(t, function, kafkaSink("dead"), source("ordering: ordered", delivery)),
		func(c *eventing.Config) { c.MaxPollRecords = 5 })
	eventually(t, "partition 1 is delivered while partition 0 is stuck", func() bool { return len(s.got()) == 1+n/2 })
	if waiting := e.Status()[0].InFlight; waiting == 0 || waiting > n/2-100 {
		t.Errorf("%d records of the stuck partition are in memory, want some and by far not all %d", waiting, n/2)
	}
	close(release)
	lagGone(t, e)
	once(t, s.ids(), n)
}

func TestUnorderedIsConcurrentUpToItsBound(t *testing.T) {
	const consumers, each, n = 2, 4, 40
	k := startKafka(t)
	k.topic(t, "in", 1)
	k.produce(t, cloudEvents("in", 1, n)...)
	var entered sync.WaitGroup
	entered.Add(consumers * each)
	var count atomic.Int64
	s := startSink(t, func(http.ResponseWriter, request) {
		if count.Add(1) <= consumers*each {
			entered.Done()
			entered.Wait() // passes only if that many are here at once
		}
	})
	e := run(t, k, s.url, load(t, function, kafkaSink("dead"), source(unordered, "consumers: 2", delivery)),
		func(c *eventing.Config) { c.MaxPollRecords = each })
	lagGone(t, e)
	if s.most != consumers*each {
		t.Errorf("%d requests at the same time, want %d", s.most, consumers*each)
	}
}

// What may be committed is what is contiguous: a record that is still being
// delivered keeps those after it from being committed.
func TestUnorderedCommitsContiguously(t *testing.T) {
	const n = 50
	k := startKafka(t)
	k.topic(t, "in", 1)
	k.produce(t, cloudEvents("in", 1, n)...)
	release := make(chan struct{})
	s := startSink(t, func(_ http.ResponseWriter, r request) {
		if r.id() == "e7" {
			<-release
		}
	})
	e := run(t, k, s.url, load(t, function, kafkaSink("dead"), source(unordered, delivery)),
		func(c *eventing.Config) { c.CommitInterval = 5 * time.Millisecond })
	eventually(t, "all but e7 are delivered", func() bool { return e.Status()[0].Delivered == n-1 })
	eventually(t, "7 offsets are committed", func() bool { return k.committed(t, "group", "in") == 7 })
	status := e.Status()[0]
	if status.InFlight != 1 || status.Partitions[0].Finished != 7 {
		t.Errorf("status %+v, want 1 in flight and 7 finished", status)
	}
	close(release)
	eventually(t, "all are committed", func() bool { return k.committed(t, "group", "in") == n })
}

func TestStatusDecides(t *testing.T) {
	const attempts = 4 // retry: 3
	for status, want := range map[int]int{
		200: 1, 202: 1, 204: 1,
		300: 1, 302: 1, 400: 1, 401: 1, 413: 1, 422: 1,
		404: attempts, 408: attempts, 409: attempts, 429: attempts,
		500: attempts, 502: attempts, 503: attempts, 504: attempts,
	} {
		t.Run(strconv.Itoa(status), func(t *testing.T) {
			k := startKafka(t)
			k.topic(t, "in", 1)
			k.produce(t, cloudEvent("in", 0, "e0"))
			s := startSink(t, func(w http.ResponseWriter, _ request) {
				w.Header().Set("Location", "/elsewhere")
				w.WriteHeader(status)
			})
			ended := make(chan eventing.Delivery, 1)
			e := run(t, k, s.url, load(t, function, kafkaSink("dead"), source(delivery)),
				func(c *eventing.Config) { c.Observer.Delivered = func(d eventing.Delivery) { ended <- d } })
			d := <-ended
			outcome := eventing.DeadLettered
			if status < 300 {
				outcome = eventing.Delivered
			}
			if d.Outcome != outcome || d.Attempts != want || d.Status != status || len(s.got()) != want {
				t.Errorf("%v after %d attempts (%d requests) with status %d, want %v after %d",
					d.Outcome, d.Attempts, len(s.got()), d.Status, outcome, want)
			}
			lagGone(t, e)
			if outcome == eventing.DeadLettered {
				k.read(t, "dead", 1)
			}
		})
	}
}

func TestRetryThenSuccess(t *testing.T) {
	k := startKafka(t)
	k.topic(t, "in", 1)
	k.produce(t, cloudEvent("in", 0, "e0"))
	var attempts atomic.Int64
	s := startSink(t, func(w http.ResponseWriter, _ request) {
		if attempts.Add(1) < 3 {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		w.Header().Set("Ce-Type", "answer")
		fmt.Fprint(w, "learned")
	})
	ended := make(chan eventing.Delivery, 1)
	e := run(t, k, s.url, load(t, function, kafkaSink("dead"), source(delivery)),
		func(c *eventing.Config) { c.Observer.Delivered = func(d eventing.Delivery) { ended <- d } })
	d := <-ended
	if d.Outcome != eventing.Delivered || d.Attempts != 3 || d.Err != nil {
		t.Errorf("%+v: want delivered at the third attempt", d)
	}
	if d.Header.Get("Ce-Type") != "answer" || string(d.Body) != "learned" {
		t.Errorf("the observer got response %v %q", d.Header, d.Body)
	}
	if d.Source != "test/in" || d.Record.Topic != "in" || string(d.Record.Key) != "e0" || d.Finished.Before(d.Started) {
		t.Errorf("the observer got %+v", d)
	}
	got := s.got()
	for _, r := range got[1:] {
		if !maps.EqualFunc(r.header, got[0].header, slices.Equal) || r.body != got[0].body {
			t.Errorf("a retry differs from the first attempt: %v, %v", r, got[0])
		}
	}
	if status := e.Status()[0]; status.Retries != 2 || status.Delivered != 1 {
		t.Errorf("status %+v: want 2 retries and 1 delivered", status)
	}
}

func TestDeadLetter(t *testing.T) {
	long := strings.Repeat("x", 3000)
	for _, c := range []struct {
		name   string
		status int
		body   string
		want   map[string]string
	}{
		{"short", 400, "duration_s is negative", map[string]string{
			"ce_knativeerrorcode": "400",
			"ce_knativeerrordata": base64.StdEncoding.EncodeToString([]byte("duration_s is negative")),
		}},
		{"long", 422, long, map[string]string{
			"ce_knativeerrorcode": "422",
			"ce_knativeerrordata": base64.StdEncoding.EncodeToString([]byte(long[:1024])),
		}},
		{"empty", 503, "", map[string]string{"ce_knativeerrorcode": "503"}},
		{"no response", 0, "", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			k := startKafka(t)
			k.topic(t, "in", 2)
			in := cloudEvent("in", 1, "bad")
			in.Headers = append(in.Headers, kgo.RecordHeader{Key: "ce_partitionkey", Value: []byte("trip-7")})
			k.produce(t, in)
			s := startSink(t, func(w http.ResponseWriter, _ request) {
				w.WriteHeader(c.status)
				fmt.Fprint(w, c.body)
			})
			if c.status == 0 {
				s.server.Close()
			}
			e := run(t, k, s.url, load(t, function, kafkaSink("dead"), source(delivery)))
			lagGone(t, e)

			dead := k.read(t, "dead", 1)[0]
			want := map[string]string{
				"ce_specversion": "1.0", "ce_id": "bad", "ce_source": "/test", "ce_type": "dev.test.v1",
				"ce_partitionkey": "trip-7", "content-type": "application/json",
				"ce_knativekafkapartition": "1", "ce_knativekafkaoffset": "0",
				"ce_knativeerrordest": s.url,
			}
			maps.Copy(want, c.want)
			got := map[string]string{}
			for _, h := range dead.Headers {
				got[h.Key] = string(h.Value)
			}
			if !maps.Equal(got, want) {
				t.Errorf("headers\n%v, want\n%v", got, want)
			}
			if string(dead.Value) != string(in.Value) || string(dead.Key) != "trip-7" {
				t.Errorf("key %q, value %q: want the event as it was", dead.Key, dead.Value)
			}
		})
	}
}

// As in Knative, an event that neither sink takes is committed, and lost.
func TestDroppedWhenDeadLetterSinkFails(t *testing.T) {
	k := startKafka(t)
	k.topic(t, "in", 1)
	k.produce(t, cloudEvents("in", 1, 2)...)
	s := startSink(t, func(w http.ResponseWriter, r request) {
		if r.header.Get("Ce-Knativeerrorcode") != "" || r.id() == "e0" {
			w.WriteHeader(http.StatusInternalServerError)
		}
	})
	ended := make(chan eventing.Delivery, 2)
	e := run(t, k, s.url, load(t, function, source(
		`delivery: {retry: 1, backoffDelay: PT0.001S, deadLetterSink: {uri: "`+s.url+`/dead"}}`)),
		func(c *eventing.Config) { c.Observer.Delivered = func(d eventing.Delivery) { ended <- d } })
	if d := <-ended; d.Outcome != eventing.Dropped || d.Err == nil {
		t.Errorf("e0: %v, %v: want dropped", d.Outcome, d.Err)
	}
	if d := <-ended; d.Outcome != eventing.Delivered {
		t.Errorf("e1: %v, want delivered: the one before it may not hold it up", d.Outcome)
	}
	lagGone(t, e)
	if status := e.Status()[0]; status.Dropped != 1 || status.Delivered != 1 || status.DeadLettered != 0 {
		t.Errorf("status %+v", status)
	}
}

// Aborted transactions are not delivered, and the offsets they and the ends of
// all transactions take do not keep the rest from being committed.
func TestTransactions(t *testing.T) {
	for _, ordering := range []string{"ordering: ordered", unordered} {
		t.Run(ordering, func(t *testing.T) {
			k := startKafka(t)
			k.topic(t, "in", 1)
			tx, err := kgo.NewClient(kgo.SeedBrokers(k.addr), kgo.TransactionalID("tx"))
			if err != nil {
				t.Fatal(err)
			}
			defer tx.Close()
			transaction := func(end kgo.TransactionEndTry, ids ...string) {
				if err := tx.BeginTransaction(); err != nil {
					t.Fatal(err)
				}
				for _, id := range ids {
					if err := tx.ProduceSync(t.Context(), cloudEvent("in", 0, id)).FirstErr(); err != nil {
						t.Fatal(err)
					}
				}
				if err := tx.EndTransaction(t.Context(), end); err != nil {
					t.Fatal(err)
				}
			}
			transaction(kgo.TryAbort, "never0")
			transaction(kgo.TryCommit, "e0", "e1")
			transaction(kgo.TryAbort, "never1", "never2")
			transaction(kgo.TryCommit, "e2")
			transaction(kgo.TryAbort, "never3")

			s := startSink(t, nil)
			e := run(t, k, s.url, load(t, function, kafkaSink("dead"), source(ordering, delivery)))
			lagGone(t, e)
			once(t, s.ids(), 3)
			closeEventing(t, e)
			ends, err := k.adm.ListEndOffsets(t.Context(), "in")
			if err != nil {
				t.Fatal(err)
			}
			end, _ := ends.Lookup("in", 0)
			if got := k.committed(t, "group", "in"); got != end.Offset {
				t.Errorf("committed %d, want the end of the topic, %d", got, end.Offset)
			}
		})
	}
}

// A source may be started before anyone has created its topic.
func TestWaitsForTopic(t *testing.T) {
	k := startKafka(t)
	s := startSink(t, nil)
	e := run(t, k, s.url, load(t, function, kafkaSink("dead"), source(delivery)))
	if _, err := e.Lag(t.Context()); err == nil || !strings.Contains(err.Error(), "waiting for topics") {
		t.Errorf("Lag of a source without its topic: %v, want an error", err)
	}
	k.topic(t, "in", 1)
	k.produce(t, cloudEvents("in", 1, 3)...)
	lagGone(t, e)
	once(t, s.ids(), 3)
}

func TestInitialOffsetLatest(t *testing.T) {
	k := startKafka(t)
	k.topic(t, "in", 1)
	k.produce(t, cloudEvent("in", 0, "before"))
	s := startSink(t, nil)
	latest := strings.ReplaceAll(source(delivery), "earliest", "latest")
	e := run(t, k, s.url, load(t, function, kafkaSink("dead"), latest))
	eventually(t, "the source has its partition", func() bool { return len(e.Status()[0].Partitions) == 1 })
	lagGone(t, e)
	// Having a partition and having looked up its end are two things.
	for i := 0; len(s.got()) == 0; i++ {
		k.produce(t, cloudEvent("in", 0, fmt.Sprintf("after%d", i)))
		time.Sleep(20 * time.Millisecond)
	}
	if slices.Contains(s.ids(), "before") {
		t.Errorf("got %v: want nothing from before the start", s.ids())
	}
}

func TestPausedSource(t *testing.T) {
	k := startKafka(t)
	e := run(t, k, "http://127.0.0.1:1", load(t, function, kafkaSink("dead"), source("consumers: 0", delivery)))
	if status := e.Status(); len(status) != 0 {
		t.Errorf("%+v: want no source without consumers", status)
	}
}

func TestStartSourcesErrors(t *testing.T) {
	k := startKafka(t)
	m := load(t, function, kafkaSink("dead"), source(delivery))
	e, err := eventing.Start(t.Context(), eventing.Config{Manifests: m, Brokers: []string{k.addr}, IngressAddr: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	defer closeEventing(t, e)
	err = e.StartSources(t.Context())
	for _, want := range []string{"KafkaSource test/in", "spec.sink", "Service function"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: want an error that names %q", err, want)
		}
	}
}

package main

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"tripcast.dev/events"
	"tripcast.dev/local/kafkatest"
)

// outage is how long a server is away: longer than every client's first retries,
// and shorter than what a KafkaSource's retries bear.
const outage = 5 * time.Second

// TestOutage takes a server away in the middle of the main job and brings it
// back: every trip is predicted and learned, once.
func TestOutage(t *testing.T) {
	for _, c := range []struct {
		name          string
		breaks, mends func(*testing.T, *kafkatest.Broker, *realRedis)
	}{
		{"Kafka is restarted", stopKafka, restartKafka},
		{"Kafka is killed", killKafka, restartKafka},
		{"Redis is killed", killRedis, restartRedis},
	} {
		t.Run(c.name, func(t *testing.T) {
			const trips = 6000
			b, redis := realKafka(t), startRedis(t)
			r := launch(t, "--kafka", b.Addr(kafkatest.Plaintext), "--redis", redis.url(), "--limit", fmt.Sprint(trips), "--speed", "0", "--exit-when-done")
			r.until(t, "1,500 trips are labelled", func() bool { return r.counted(events.TopicLabels) >= 1500 })
			c.breaks(t, b, redis)
			time.Sleep(outage)
			c.mends(t, b, redis)
			before := learnedSoFar(t, r)
			<-r.done
			if r.err != nil {
				t.Fatalf("%v\n%s", r.err, r.log)
			}
			if before >= trips {
				t.Fatal("nothing was left to do after the outage")
			}
			wantAll(t, *r.report, trips)
			if r.report.DeadLetters != 0 {
				t.Errorf("%d dead letters, want none\n%s", r.report.DeadLetters, r.log)
			}
			// KafkaSources deliver again what they had not committed, and predict
			// answers again. Whatever is written in transactions, or by a producer
			// that counts, is there once.
			for _, topic := range []string{events.TopicPickUps, events.TopicDropOffs, events.TopicFeatures, events.TopicLabels} {
				if n := r.written(topic); n != trips {
					t.Errorf("%s has %d records, want %d", topic, n, trips)
				}
			}
			again := r.written(events.TopicPredictions) - trips
			t.Logf("%d labels learned when it was back; predictions written again: %d, labels delivered again and recognised: %d",
				before, again, r.report.Duplicates-again)
		})
	}
}

// learnedSoFar is the least that a model has learned. It waits for the Redis that
// is back, of which its client may not have heard yet.
func learnedSoFar(t *testing.T, r *running) (least int64) {
	t.Helper()
	r.until(t, "Redis answers", func() bool {
		counts, err := r.books().learned(t.Context())
		if err == nil {
			least = slices.Min(slices.Collect(maps.Values(counts)))
		}
		return err == nil
	})
	return least
}

// written is how many records a topic has, those about the same trip included.
func (r *running) written(topic string) int64 {
	r.tally.mu.Lock()
	defer r.tally.mu.Unlock()
	return r.tally.records[topic]
}

func stopKafka(t *testing.T, b *kafkatest.Broker, _ *realRedis)    { b.Stop(t) }
func killKafka(t *testing.T, b *kafkatest.Broker, _ *realRedis)    { b.Kill(t) }
func restartKafka(t *testing.T, b *kafkatest.Broker, _ *realRedis) { b.Restart(t) }
func killRedis(t *testing.T, _ *kafkatest.Broker, r *realRedis)    { r.kill(t) }
func restartRedis(t *testing.T, _ *kafkatest.Broker, r *realRedis) { r.restart(t) }

package trail

import (
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/twmb/franz-go/pkg/kgo"

	"tripcast.dev/events"
)

// letter is an event that a function refused, as eventing writes it.
func letter(trip, answer string) event.Event {
	return cloudEvent(events.TopicDeadLetters, trip, `{"x":1}`,
		"knativeerrordest", "http://predict/", "knativeerrorcode", "422",
		"knativeerrordata", base64.StdEncoding.EncodeToString([]byte(answer)))
}

func TestDeadLetters(t *testing.T) {
	k := newKafka(t, 12, events.Topics()...)
	for i := range 60 {
		r := binary(events.TopicDeadLetters, int32(i*7%12), i, letter(fmt.Sprint("trip ", i), fmt.Sprint("answer ", i)))
		if i%2 == 0 {
			r.Key = nil // by a sink that knows no keys
		}
		k.write(r)
	}
	k.write(&kgo.Record{Topic: events.TopicDeadLetters, Partition: 3, Timestamp: at(60), Value: []byte("no event")})
	trail := k.trail()
	letters, count, err := trail.DeadLetters(t.Context(), 5)
	if err != nil || count != 61 || len(letters) != 5 {
		t.Fatalf("%d of %d letters, %v, want 5 of 61", len(letters), count, err)
	}
	if l := letters[0]; string(l.Data) != "no event" || l.Attributes != nil || l.Error+l.Code+l.Destination != "" {
		t.Errorf("the newest letter is %+v", l)
	}
	for i, l := range letters[1:] {
		n := strconv.Itoa(59 - i)
		if l.Get("id") != "trip "+n || l.Error != "answer "+n || l.Code != "422" || l.Destination != "http://predict/" {
			t.Errorf("letter %d is of %q: %q %q %q", i+1, l.Get("id"), l.Error, l.Code, l.Destination)
		}
	}
	if n, err := trail.CountDeadLetters(t.Context()); n != 61 || err != nil {
		t.Errorf("%d dead letters, %v", n, err)
	}
	for _, limit := range []int{-1, 0, 61, 1000} {
		letters, count, err := trail.DeadLetters(t.Context(), limit)
		if err != nil || count != 61 || len(letters) != max(0, min(limit, 61)) {
			t.Errorf("%d of %d letters, %v, with a limit of %d", len(letters), count, err, limit)
		}
	}
	for _, trip := range []string{"trip 8", "trip 9"} {
		if found := of(t, trail, trip); len(found.Events) != 1 || found.Events[0].Topic != events.TopicDeadLetters {
			t.Errorf("%s has %v", trip, places(found.Events))
		}
	}
	keyless := structured(events.TopicDeadLetters, 0, 70, cloudEvent(events.TopicFeatures, "s", `{}`, "knativeerrordest", "http://learn/"))
	k.write(keyless)
	if letters, _, err := trail.DeadLetters(t.Context(), 1); err != nil || letters[0].Destination != "http://learn/" {
		t.Errorf("the structured letter is %+v, %v", letters, err)
	}
	wantPlaces(t, of(t, trail, "s"), true, "dead_letters/0/5")
}

// Only the end is read, and the newest even if the one budget is small.
func TestDeadLettersReadTheTailOnly(t *testing.T) {
	k := newKafka(t, 1, events.Topics()...)
	pad := strings.Repeat("x", 20_000)
	for i := range 200 {
		k.write(binary(events.TopicDeadLetters, 0, i, cloudEvent(events.TopicDeadLetters, strconv.Itoa(i), `"`+pad+`"`)))
	}
	trail := k.trail(func(t *Trail) { t.bounds.bytes = 20_000 * 40 })
	letters, count, err := trail.DeadLetters(t.Context(), 20)
	if err != nil || count != 200 || len(letters) != 20 {
		t.Fatalf("%d of %d letters, %v", len(letters), count, err)
	}
	for i, l := range letters {
		if l.Get("id") != strconv.Itoa(199-i) {
			t.Fatalf("letter %d is %s", i, l.Get("id"))
		}
	}
	letters, _, err = trail.DeadLetters(t.Context(), 200)
	if err != nil || len(letters) != 32 || letters[31].Get("id") != "168" {
		t.Errorf("%d letters, %v, within a budget of 40, which are two steps", len(letters), err)
	}
}

func TestErrorData(t *testing.T) {
	encode := func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }
	torn := strings.Repeat("é", 512)[:1023]
	for _, c := range []struct{ name, data, want string }{
		{"none", "", ""},
		{"base64", encode("model x: no such feature\n"), "model x: no such feature"},
		{"JSON", encode(`{"error": "é"}`), `{"error": "é"}`},
		{"torn in a character", encode(torn), strings.Repeat("é", 511)},
		{"torn in a long one", encode("a\xf0\x9f\x9a"), "a"},
		{"plain", "connection refused", "connection refused"},
		{"plain that looks like base64", "fail", "fail"},
		{"bytes", encode("\x00\x01\x02"), encode("\x00\x01\x02")},
		{"bytes that are no text", encode("\xff\xfe\xfd"), encode("\xff\xfe\xfd")},
	} {
		if got := errorData(c.data); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

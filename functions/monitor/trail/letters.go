package trail

import (
	"context"
	"encoding/base64"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/twmb/franz-go/pkg/kgo"

	"tripcast.dev/events"
)

// Letter is a dead letter: an event that no function took, and why.
type Letter struct {
	Event
	Error       string // what the function answered, the first 1,024 bytes of it
	Code        string // the HTTP status, "" if there was no answer
	Destination string // who did not take it
}

// letters are the newest dead letters, and how many there are.
type letters struct {
	newest []Letter
	count  int64
}

// minStep is the least number of records that are read of the end of a partition
// at once. Each step doubles what there is.
const minStep = 16

// DeadLetters are the newest dead letters, the newest first, and the number of
// all there are. It reads no more of the topic than its end.
func (t *Trail) DeadLetters(ctx context.Context, limit int) ([]Letter, int64, error) {
	all, err := t.letters.share(ctx, max(limit, 0), t.tail)
	return slices.Clone(all.newest), all.count, err
}

// CountDeadLetters is the number of dead letters, by the topic's offsets.
func (t *Trail) CountDeadLetters(ctx context.Context) (int64, error) {
	within, cancel := context.WithTimeout(ctx, t.bounds.time)
	defer cancel()
	spans, _, err := t.spans(within, time.Time{}, time.Time{}, events.TopicDeadLetters)
	if ctx.Err() != nil {
		return 0, ctx.Err()
	}
	if err != nil {
		return 0, t.unavailable(err)
	}
	t.outage.over()
	return total(spans), nil
}

func total(spans []*span) int64 {
	var n int64
	for _, s := range spans {
		n += s.end - s.next
	}
	return n
}

// tail reads the topic backwards, step by step, until every partition has given
// enough or has been read.
func (t *Trail) tail(ctx context.Context, limit int) (letters, error) {
	ctx, cancel := context.WithTimeout(ctx, t.bounds.time)
	defer cancel()
	partitions, _, err := t.spans(ctx, time.Time{}, time.Time{}, events.TopicDeadLetters)
	if err != nil {
		return letters{}, t.unavailable(err)
	}
	count := total(partitions)
	left := t.bounds.bytes
	given := make(map[int32]int)
	var found []Event
	for {
		var steps []*span
		for _, p := range partitions {
			if missing := limit - given[p.partition]; missing > 0 && p.next < p.end {
				steps = append(steps, p.cutEnd(max(minStep, min(int64(missing), int64(given[p.partition])))))
			}
		}
		if len(steps) == 0 {
			break
		}
		var read []Event
		all, err := t.read(ctx, steps, &left, func(r *kgo.Record) bool {
			given[r.Partition]++
			read = append(read, eventOf(r))
			return true
		})
		if err != nil && len(found)+len(read) == 0 {
			return letters{}, t.unavailable(err)
		}
		// A step that was given up has its newest records last, unread.
		if all || len(found) == 0 {
			found = append(found, read...)
		}
		if !all {
			break
		}
	}
	t.outage.over()
	return letters{newest: newest(found, limit), count: count}, nil
}

// newest makes letters of the newest events.
func newest(found []Event, limit int) []Letter {
	sortByTime(found)
	markDuplicates(found)
	slices.Reverse(found)
	found = found[:min(limit, len(found))]
	out := make([]Letter, len(found))
	for i, e := range found {
		out[i] = Letter{
			Event:       e,
			Error:       errorData(e.Get("knativeerrordata")),
			Code:        e.Get("knativeerrorcode"),
			Destination: e.Get("knativeerrordest"),
		}
	}
	return out
}

// errorData is what a function answered. Knative writes it in base64, and once
// wrote it as it was: base64 of something else than text counts as text.
func errorData(data string) string {
	decoded, err := base64.StdEncoding.DecodeString(data)
	if err != nil {
		return data
	}
	text := withoutTorn(string(decoded))
	if !utf8.ValidString(text) || strings.ContainsFunc(text, func(r rune) bool { return unicode.IsControl(r) && !unicode.IsSpace(r) }) {
		return data
	}
	return strings.TrimSpace(text)
}

// withoutTorn cuts off a character that the cut at 1,024 bytes has torn apart.
func withoutTorn(text string) string {
	for i := 1; i < utf8.UTFMax && i <= len(text); i++ {
		if end := text[len(text)-i:]; utf8.RuneStart(end[0]) {
			if !utf8.FullRuneInString(end) {
				return text[:len(text)-i]
			}
			break
		}
	}
	return text
}

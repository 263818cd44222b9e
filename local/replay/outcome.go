// Package replay plays a recording again and compares what comes out of it with
// what came out before.
package replay

import (
	"bufio"
	"bytes"
	"cmp"
	"compress/gzip"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/cloudevents/sdk-go/v2/event"

	"tripcast.dev/events"
)

// Event is one that came out.
type Event struct {
	Topic string
	event.Event
}

// Key is what orders events: that of the event's record, or else the event's
// subject, or its id.
func (e Event) Key() string {
	if key, ok := e.Extensions()["partitionkey"].(string); ok {
		return key
	}
	return cmp.Or(e.Subject(), e.ID())
}

// Outcome is all that came out of a replay: retractions are left out, and so is
// what no other replay could repeat.
type Outcome struct{ Events []Event }

// sorted orders the events by topic, as a trip meets them, then by key, then as
// they came.
func (o *Outcome) sorted() []Event {
	return slices.SortedStableFunc(slices.Values(o.Events), func(a, b Event) int {
		return compareEvents(a.Topic, a.Key(), b.Topic, b.Key())
	})
}

func compareEvents(topicA, keyA, topicB, keyB string) int {
	return cmp.Or(cmp.Compare(rank(topicA), rank(topicB)), cmp.Compare(topicA, topicB), cmp.Compare(keyA, keyB))
}

// rank puts topics that are not ours last.
func rank(topic string) int {
	topics := events.Topics()
	if i := slices.Index(topics, topic); i >= 0 {
		return i
	}
	return len(topics)
}

// topicExtension says in the file where an event came out.
const topicExtension = "kafkatopic"

// Write writes the outcome as JSON lines, each a CloudEvent in structured mode:
// by topic, then by key, then as the events came.
func (o *Outcome) Write(w io.Writer) error {
	buffered := bufio.NewWriter(w)
	for _, e := range o.sorted() {
		line, err := appendLine(nil, e)
		if err != nil {
			return fmt.Errorf("replay: writing the event %s of %s: %w", e.ID(), e.Topic, err)
		}
		buffered.Write(line) // an error comes back from Flush
	}
	if err := buffered.Flush(); err != nil {
		return fmt.Errorf("replay: writing the outcome: %w", err)
	}
	return nil
}

// appendLine writes attributes in their own order, so that the same event is the
// same line.
func appendLine(line []byte, e Event) ([]byte, error) {
	attributes, err := events.Attributes(e.Event)
	if err != nil {
		return nil, err
	}
	separator := byte('{')
	member := func(name string, value []byte) {
		line = append(line, separator, '"')
		line = append(append(append(line, name...), `":`...), value...)
		separator = ','
	}
	for _, a := range append(attributes, events.Attribute{Name: topicExtension, Value: e.Topic}) {
		value, err := text(a.Value)
		if err != nil {
			return nil, err
		}
		member(a.Name, value)
	}
	switch data := e.Data(); {
	case len(data) == 0:
	case isJSON(e.DataMediaType()) && plain(data):
		member("data", data)
	default:
		member("data_base64", []byte(`"`+base64.StdEncoding.EncodeToString(data)+`"`))
	}
	return append(line, "}\n"...), nil
}

// text is a JSON string that is as easy to read as it can be.
func text(s string) ([]byte, error) {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	err := encoder.Encode(s)
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), err
}

// isJSON is so, too, of events that do not say what their data is.
func isJSON(media string) bool {
	return media == "" || media == event.ApplicationJSON || media == event.TextJSON || strings.HasSuffix(media, "+json")
}

// plain reports whether data can stand in a line of JSON as it is.
func plain(data []byte) bool {
	var compact bytes.Buffer
	return utf8.Valid(data) && string(data) != "null" && json.Compact(&compact, data) == nil && bytes.Equal(compact.Bytes(), data)
}

// ReadOutcome reads what Write has written, plain or gzipped.
func ReadOutcome(name string) (*Outcome, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("replay: %w", err)
	}
	defer f.Close()
	return readOutcome(f, name)
}

// maxLine bounds a line: two events of the largest size that we take.
const maxLine = 2 * events.MaxDataBytes

func readOutcome(r io.Reader, name string) (*Outcome, error) {
	text, err := decompressed(r)
	if err != nil {
		return nil, fmt.Errorf("replay: %s: %w", name, err)
	}
	lines := bufio.NewScanner(text)
	lines.Buffer(nil, maxLine)
	lines.Split(wholeLines)
	o := &Outcome{}
	for n := 1; ; n++ {
		more, err := lines.Scan(), lines.Err()
		if !more && err == nil {
			return o, nil
		}
		var e Event
		if err == nil {
			e, err = parseLine(lines.Bytes())
		}
		if err != nil {
			return nil, fmt.Errorf("replay: %s: line %d: %w", name, n, err)
		}
		o.Events = append(o.Events, e)
	}
}

// decompressed looks for gzip by its first bytes.
func decompressed(r io.Reader) (io.Reader, error) {
	buffered := bufio.NewReader(r)
	if magic, _ := buffered.Peek(2); string(magic) != "\x1f\x8b" {
		return buffered, nil
	}
	return gzip.NewReader(buffered)
}

// wholeLines are a bufio.SplitFunc for which a line without its newline is cut
// short.
func wholeLines(data []byte, atEOF bool) (advance int, line []byte, err error) {
	if i := bytes.IndexByte(data, '\n'); i >= 0 {
		return i + 1, data[:i], nil
	}
	if atEOF && len(data) > 0 {
		return 0, nil, io.ErrUnexpectedEOF
	}
	return 0, nil, nil
}

func parseLine(line []byte) (Event, error) {
	parsed, err := events.ParseStructured(bytes.Clone(line))
	if err != nil {
		return Event{}, err
	}
	topic, ok := parsed.Extensions()[topicExtension].(string)
	if !ok || topic == "" {
		return Event{}, fmt.Errorf("%s is missing: it does not say in which topic the event came out", topicExtension)
	}
	parsed.SetExtension(topicExtension, nil)
	return Event{Topic: topic, Event: parsed}, nil
}

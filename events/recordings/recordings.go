// Package recordings is a stream of events as a file: what topics held, with the
// times at which it arrived, to be played again.
//
// A recording is JSON lines, plain or gzipped. Each line is one record of a
// topic, as a CloudEvent in structured mode (JSON format 1.0.2) with extensions
// that say where it came from:
//
//	kafkatopic      the topic
//	kafkapartition  the partition
//	kafkaoffset     the offset, a string of digits: 64 bits are no CloudEvents integer
//	recordedtime    the record's timestamp, which is when it arrived, in RFC 3339
//	kafkaheaders    the headers beside the event's own, if any: a JSON array of
//	                [key, value] pairs, in which a value may be null
//
// A record that such a line would not give back byte for byte, be it malformed
// or no event at all, is wrapped in an event of TypeRecord. Headers are compared
// as a set: events.ToRecord has an order of its own.
package recordings

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"tripcast.dev/events"
)

// Record is one record of a topic.
type Record struct {
	Topic     string
	Partition int32
	Offset    int64
	At        time.Time // its timestamp, in milliseconds: when it arrived
	events.Record
}

func (r *Record) String() string { return fmt.Sprintf("%s/%d/%d", r.Topic, r.Partition, r.Offset) }

// Partition is one of a topic.
type Partition struct {
	Topic  string
	Number int32
}

// Error is what is wrong with a recording, and where.
type Error struct {
	Name string // of the file
	Line int    // the first that is wrong, from 1
	Err  error
}

func (e *Error) Error() string {
	return fmt.Sprintf("recordings: %s: line %d: %v", e.Name, e.Line, e.Err)
}

func (e *Error) Unwrap() error { return e.Err }

// ErrFull is a recording that has reached its bound.
var ErrFull = errors.New("recordings: the recording is full")

//go:embed *.jsonl.gz
var files embed.FS

// Files are the recordings of the house, NAME.jsonl.gz each.
func Files() fs.FS { return files }

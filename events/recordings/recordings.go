// Package recordings is a stream of events as a file: what topics held, with the
// times at which it arrived, to be played again.
package recordings

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
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

func (e *Error) Error() string { return fmt.Sprintf("recordings: %s: line %d: %v", e.Name, e.Line, e.Err) }

func (e *Error) Unwrap() error { return e.Err }

// ErrFull is a recording that has reached its bound.
var ErrFull = errors.New("recordings: the recording is full")

// Reader reads a recording.
type Reader struct{}

// Open opens a file, plain or gzipped, which its first bytes tell.
func Open(name string) (*Reader, error) { return nil, errors.ErrUnsupported }

// NewReader is Open for what is not a file; errors call it by the name.
func NewReader(r io.Reader, name string) (*Reader, error) { return nil, errors.ErrUnsupported }

// Records yields the records as they are read, once. It ends with the first
// error, an *Error: what came before it has been yielded.
func (r *Reader) Records() iter.Seq2[Record, error] { return func(func(Record, error) bool) {} }

// Close closes the file.
func (r *Reader) Close() error { return nil }

// WriterOptions bound a recording.
type WriterOptions struct {
	MaxBytes int64 // of the file; 0 is no bound
}

// Writer writes a recording.
type Writer struct{}

// Create starts a recording, in a file that is not there yet.
func Create(name string, o WriterOptions) (*Writer, error) { return nil, errors.ErrUnsupported }

// Resume goes on with a recording.
func Resume(name string, o WriterOptions) (*Writer, error) { return nil, errors.ErrUnsupported }

// Next says, of every partition that is in the recording, the offset to go on with.
func (w *Writer) Next() map[Partition]int64 { return nil }

// Write appends a record, or returns ErrFull and leaves the file as it is.
func (w *Writer) Write(r Record) error { return errors.ErrUnsupported }

// Flush makes what was written safe from a kill.
func (w *Writer) Flush() error { return nil }

// Close flushes and closes the file.
func (w *Writer) Close() error { return nil }

// Files are the recordings of the house, NAME.jsonl.gz each.
func Files() fs.FS { return nil }

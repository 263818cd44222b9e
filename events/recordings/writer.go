package recordings

import (
	"bufio"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"strings"
)

// WriterOptions bound a recording.
type WriterOptions struct {
	MaxBytes int64 // of the file; 0 is no bound
}

// Writer writes a recording. It is not safe for concurrent use.
type Writer struct {
	name     string
	file     *os.File
	out      *counted
	gzip     *gzip.Writer // nil writes plain text
	begun    bool         // a member of the gzip, which is not whole
	held     int64        // bytes of text that may not be in out yet
	max      int64
	composer *composer
	next     map[Partition]int64
	err      error // ends the recording
}

// counted is what the file has been given, in a buffer.
type counted struct {
	*bufio.Writer
	n int64
}

func (c *counted) Write(p []byte) (int, error) {
	n, err := c.Writer.Write(p)
	c.n += int64(n)
	return n, err
}

// Create starts a recording, in a file that is not there yet. It is gzipped if
// the name ends with .gz.
func Create(name string, o WriterOptions) (*Writer, error) {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("recordings: %s is there already: resume it, or take another name: %w", name, fs.ErrExist)
	}
	if err != nil {
		return nil, fmt.Errorf("recordings: start a recording: %w", err)
	}
	return newWriter(name, f, 0, byName(name), o), nil
}

// byName reports whether a file that has nothing in it yet is to be gzipped.
func byName(name string) bool { return strings.HasSuffix(name, ".gz") }

// newWriter writes to the end of a file, which has so many bytes.
func newWriter(name string, f *os.File, size int64, compressed bool, o WriterOptions) *Writer {
	w := &Writer{name: name, file: f, max: o.MaxBytes, composer: newComposer(), next: map[Partition]int64{}}
	w.out = &counted{bufio.NewWriterSize(f, 1<<16), size}
	if compressed {
		w.gzip = gzip.NewWriter(w.out)
	}
	return w
}

// Next says, of every partition that is in the recording, the offset to go on with.
func (w *Writer) Next() map[Partition]int64 { return maps.Clone(w.next) }

// Write appends a record. Those of a partition come in the order of their offsets.
// A record that no longer fits is ErrFull, and so is every one after it; the
// recording is whole without them.
func (w *Writer) Write(r Record) error {
	if w.err != nil {
		return w.err
	}
	p := Partition{r.Topic, r.Partition}
	if next := w.next[p]; r.Offset < next {
		return fmt.Errorf("recordings: %s: record %s: the recording has its partition up to offset %d", w.name, &r, next)
	}
	line, err := w.composer.compose(r)
	if err != nil {
		return fmt.Errorf("recordings: %s: record %s: %w", w.name, &r, err)
	}
	if err := w.append(line); err != nil {
		return err
	}
	w.next[p] = r.Offset + 1
	return nil
}

// append writes a line, unless the file is full.
func (w *Writer) append(line []byte) error {
	if w.err != nil {
		return w.err
	}
	fits, err := w.fits(int64(len(line)))
	switch {
	case err != nil:
		return w.failed(err)
	case !fits:
		w.err = fmt.Errorf("%w: %s may have %d bytes", ErrFull, w.name, w.max)
		return w.err
	}
	to := io.Writer(w.out)
	if w.gzip != nil {
		if !w.begun {
			w.gzip.Reset(w.out)
			w.begun = true
		}
		w.held += int64(len(line))
		to = w.gzip
	}
	if _, err := to.Write(line); err != nil {
		return w.failed(err)
	}
	return nil
}

// fits reports whether so many more bytes of text are sure to fit. Of what the
// compressor holds that is known once it has let go of it.
func (w *Writer) fits(n int64) (bool, error) {
	if w.max <= 0 {
		return true, nil
	}
	if w.gzip == nil {
		return w.out.n+n <= w.max, nil
	}
	if w.out.n+incompressible(w.held+n) > w.max && w.held > 0 {
		if err := w.gzip.Flush(); err != nil {
			return false, err
		}
		w.held = 0
	}
	return w.out.n+incompressible(w.held+n) <= w.max, nil
}

// incompressible is more than what a member of gzip takes for text that nothing
// compresses: stored in blocks of five bytes more, with a header and an end.
func incompressible(n int64) int64 { return n + 5*(n>>14+1) + 64 }

// failed ends a recording of which nobody knows what is in the file.
func (w *Writer) failed(err error) error {
	w.err = fmt.Errorf("recordings: write %s: %w", w.name, err)
	return w.err
}

// Flush makes what was written safe from a kill.
func (w *Writer) Flush() error {
	if w.err != nil && !errors.Is(w.err, ErrFull) {
		return w.err
	}
	if w.begun {
		if err := w.gzip.Close(); err != nil {
			return w.failed(err)
		}
		w.begun, w.held = false, 0
	}
	if err := w.out.Flush(); err != nil {
		return w.failed(err)
	}
	return nil
}

// Close flushes and closes the file.
func (w *Writer) Close() error {
	err := w.Flush()
	if closing := w.file.Close(); closing != nil {
		err = errors.Join(err, fmt.Errorf("recordings: write %s: %w", w.name, closing))
	}
	w.err = fmt.Errorf("recordings: write %s: %w", w.name, os.ErrClosed)
	return err
}

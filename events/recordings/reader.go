package recordings

import (
	"bufio"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
)

// Reader reads a recording.
type Reader struct {
	name  string
	lines lines
	close func() error
}

// Open opens a file, plain or gzipped, which its first bytes tell.
func Open(name string) (*Reader, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("recordings: open a recording: %w", err)
	}
	r, err := NewReader(f, name)
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	r.close = f.Close
	return r, nil
}

// NewReader is Open for what is not a file; errors call it by the name.
func NewReader(r io.Reader, name string) (*Reader, error) {
	text := bufio.NewReaderSize(r, 1<<16)
	if isGzip(text) {
		plain, err := gzip.NewReader(text)
		if err != nil {
			return nil, &Error{name, 1, damaged(err)}
		}
		text = bufio.NewReaderSize(plain, 1<<16)
	}
	return &Reader{name: name, lines: lines{text: text}, close: func() error { return nil }}, nil
}

func isGzip(r *bufio.Reader) bool {
	magic, err := r.Peek(2)
	return err == nil && string(magic) == "\x1f\x8b"
}

// Records yields the records as they are read, once. It ends with the first
// error, an *Error: what came before it has been yielded. An empty line is an
// error; a file without lines is a recording of nothing.
func (r *Reader) Records() iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		for {
			line, err := r.lines.next()
			if err == io.EOF {
				return
			}
			var record Record
			if err == nil {
				record, err = parseLine(line)
			}
			if err != nil {
				yield(Record{}, &Error{r.name, r.lines.n, err})
				return
			}
			if !yield(record, nil) {
				return
			}
		}
	}
}

// Close closes the file.
func (r *Reader) Close() error { return r.close() }

// lines are of a text, which ends with a newline if it has not been cut short.
type lines struct {
	text *bufio.Reader
	n    int    // of the last that was read, or could not be
	long []byte // a line that the buffer does not hold
}

// next returns a line without its newline, good until the next. io.EOF is the
// end of the text.
func (l *lines) next() ([]byte, error) {
	l.n++
	line, err := l.text.ReadSlice('\n')
	if err == bufio.ErrBufferFull {
		line, err = l.rest(line)
	}
	switch {
	case err == nil:
		return line[:len(line)-1], nil
	case err == io.EOF && len(line) == 0:
		return nil, io.EOF
	}
	return nil, damaged(err)
}

// rest reads the line that begins with start.
func (l *lines) rest(start []byte) ([]byte, error) {
	l.long = append(l.long[:0], start...)
	for {
		more, err := l.text.ReadSlice('\n')
		if l.long = append(l.long, more...); len(l.long) > maxLine {
			return l.long, errTooLong
		}
		if err != bufio.ErrBufferFull {
			return l.long, err
		}
	}
}

var errTooLong = fmt.Errorf("it is longer than %d bytes", maxLine)

// damaged says of an error that is not of the text what it means to its reader.
func damaged(err error) error {
	switch err {
	case errTooLong:
		return err
	case io.EOF, io.ErrUnexpectedEOF:
		return fmt.Errorf("the recording is cut short: %w", io.ErrUnexpectedEOF)
	}
	return fmt.Errorf("the file is damaged here or shortly before: %w", err)
}

package evaluate

import (
	"bufio"
	"compress/gzip"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"iter"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

// columns are those before the features.
var columns = []string{"trip_id", "picked_up_at", "dropped_off_at", "duration_s"}

// CSV reads samples as `go run ./local --samples FILE` writes them: the columns
// trip_id, picked_up_at, dropped_off_at and duration_s, and then one for every
// feature, in which an empty field is a missing one. Times are in RFC 3339, trips
// in the order of their pick-ups.
type CSV struct {
	name  string
	lines *csv.Reader
	names []string
	line  int // the last that was read
	close func() error
}

// Open opens a file, plain or gzipped, which its first bytes tell. The caller
// closes it. Errors name the file, and the line if there is one.
func Open(name string) (*CSV, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("evaluate: open samples: %w", err)
	}
	c, err := ReadCSV(f, name)
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	c.close = f.Close
	return c, nil
}

// ReadCSV is Open for what is not a file; errors call it by the name.
func ReadCSV(r io.Reader, name string) (*CSV, error) {
	c := &CSV{name: name, close: func() error { return nil }}
	buffered := bufio.NewReaderSize(r, 1<<16)
	r = buffered
	if magic, err := buffered.Peek(2); err == nil && string(magic) == "\x1f\x8b" {
		text, err := gzip.NewReader(buffered)
		if err != nil {
			return nil, c.failed(err)
		}
		r = text
	}
	c.lines = csv.NewReader(r)
	c.lines.ReuseRecord = true
	header, err := c.lines.Read()
	if err == io.EOF {
		return nil, c.failed(errors.New("it is empty"))
	}
	if err != nil {
		return nil, c.failed(err)
	}
	c.line = 1
	if err := c.header(header); err != nil {
		return nil, c.wrong(err)
	}
	return c, nil
}

func (c *CSV) header(fields []string) error {
	if len(fields) < len(columns) || !slices.Equal(fields[:len(columns)], columns) {
		return fmt.Errorf("the columns are %s, not %s and then the features", strings.Join(fields, ","), strings.Join(columns, ","))
	}
	for _, name := range fields[len(columns):] {
		if name == "" || slices.Contains(c.names, name) {
			return fmt.Errorf("a feature is called %q, which is empty or another's name", name)
		}
		c.names = append(c.names, strings.Clone(name))
	}
	return nil
}

// Features are the names of the features, in the order of Sample.X.
func (c *CSV) Features() []string { return slices.Clone(c.names) }

// Close closes the file.
func (c *CSV) Close() error { return c.close() }

// Samples yields the samples as they are read; it can be read once. It ends with
// the first error, such as that of a file that is cut short: what came before it
// has been yielded.
func (c *CSV) Samples(ctx context.Context) iter.Seq2[Sample, error] {
	return func(yield func(Sample, error) bool) {
		var last time.Time
		for {
			if ctx.Err() != nil {
				yield(Sample{}, context.Cause(ctx))
				return
			}
			fields, err := c.lines.Read()
			if err == io.EOF {
				return
			}
			if err != nil {
				yield(Sample{}, c.failed(err))
				return
			}
			c.line, _ = c.lines.FieldPos(0)
			s, err := c.sample(fields)
			if err == nil && s.At.Before(last) {
				err = errors.New("its trip was picked up before that of the line above")
			}
			if err != nil {
				yield(Sample{}, c.wrong(err))
				return
			}
			last = s.At
			if !yield(s, nil) {
				return
			}
		}
	}
}

func (c *CSV) sample(fields []string) (Sample, error) {
	s := Sample{ID: strings.Clone(fields[0]), X: make([]float64, len(c.names))}
	var err error
	if s.At, err = time.Parse(time.RFC3339, fields[1]); err != nil {
		return s, fmt.Errorf("%s: %w", columns[1], err)
	}
	if s.LabelAt, err = time.Parse(time.RFC3339, fields[2]); err != nil {
		return s, fmt.Errorf("%s: %w", columns[2], err)
	}
	if s.LabelAt.Before(s.At) {
		return s, fmt.Errorf("%s is before %s", columns[2], columns[1])
	}
	if s.Y, err = parse(fields[3]); err != nil {
		return s, fmt.Errorf("%s: %w", columns[3], err)
	}
	for i, text := range fields[len(columns):] {
		if text == "" {
			s.X[i] = math.NaN()
		} else if s.X[i], err = parse(text); err != nil {
			return s, fmt.Errorf("%s: %w", c.names[i], err)
		}
	}
	return s, nil
}

func parse(text string) (float64, error) {
	v, err := strconv.ParseFloat(text, 64)
	if err != nil || math.IsNaN(v) || math.IsInf(v, 0) {
		return 0, fmt.Errorf("%q is not a finite number", text)
	}
	return v, nil
}

// wrong is a mistake in the line that was read last.
func (c *CSV) wrong(err error) error {
	return fmt.Errorf("evaluate: %s: line %d: %w", c.name, c.line, err)
}

// failed is why reading ended after the line that was read last.
func (c *CSV) failed(err error) error {
	if wrong, ok := errors.AsType[*csv.ParseError](err); ok {
		return fmt.Errorf("evaluate: %s: line %d: %w", c.name, wrong.StartLine, wrong.Err)
	}
	if errors.Is(err, io.ErrUnexpectedEOF) {
		err = fmt.Errorf("the file is cut short: %w", err)
	}
	return fmt.Errorf("evaluate: %s: after line %d: %w", c.name, c.line, err)
}

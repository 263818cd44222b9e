package recordings

import (
	"bufio"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// Resume goes on with a recording. An end that is half-written, as a kill leaves
// it, is cut off after the last whole line; anything else that is wrong with the
// file is an *Error, and the file is left as it is.
func Resume(name string, o WriterOptions) (*Writer, error) {
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		return nil, fmt.Errorf("recordings: resume a recording: %w", err)
	}
	was, err := take(name, f)
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	if was.salvage > 0 {
		f, err = salvage(name, f, was)
	} else {
		err = f.Truncate(was.whole)
	}
	var size int64
	if err == nil {
		size, err = f.Seek(0, io.SeekEnd)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("recordings: resume %s: %w", name, err), f.Close())
	}
	w := newWriter(name, f, size, was.compressed || size == 0 && byName(name), o)
	w.next = was.next
	return w, nil
}

// inventory is what a file holds.
type inventory struct {
	compressed bool
	next       map[Partition]int64
	whole      int64 // bytes of the file that can stay as they are
	salvage    int   // whole lines after them
}

// take takes the inventory of a file, and is an *Error if there is more wrong
// with it than that its end is missing.
func take(name string, f *os.File) (inventory, error) {
	source := &bytesRead{r: bufio.NewReaderSize(f, 1<<16)}
	i := inventory{compressed: isGzip(source.r), next: map[Partition]int64{}}
	l := lines{text: source.r}
	var m *members
	if i.compressed {
		m = &members{source: source}
		l.text = bufio.NewReaderSize(m, 1<<16)
	}
	for at := int64(0); ; {
		line, err := l.next()
		if m != nil && m.endsAt(at) { // where this line begins
			i.whole, i.salvage = m.ends[0].file, 0
		}
		if err == io.EOF || errors.Is(err, io.ErrUnexpectedEOF) {
			return i, nil
		}
		var r Record
		if err == nil {
			r, err = parseLine(line)
		}
		if err != nil {
			return i, &Error{name, l.n, fmt.Errorf("%w: the recording cannot be resumed, what comes before that line can be read", err)}
		}
		p := Partition{r.Topic, r.Partition}
		i.next[p] = max(i.next[p], r.Offset+1)
		at += int64(len(line)) + 1
		if m == nil {
			i.whole = at
		} else {
			i.salvage++
		}
	}
}

// bytesRead counts. A gzip.Reader reads no byte too many from an io.ByteReader.
type bytesRead struct {
	r *bufio.Reader
	n int64
}

func (b *bytesRead) Read(p []byte) (int, error) {
	n, err := b.r.Read(p)
	b.n += int64(n)
	return n, err
}

func (b *bytesRead) ReadByte() (byte, error) {
	c, err := b.r.ReadByte()
	if err == nil {
		b.n++
	}
	return c, err
}

// members is the text of a gzip, and remembers where its members end.
type members struct {
	source *bytesRead
	text   *gzip.Reader
	inside bool
	n      int64 // bytes of text
	ends   []end // of members that have been read
}

// end is where a member ends, in the file and in the text.
type end struct{ file, text int64 }

func (m *members) Read(p []byte) (int, error) {
	if !m.inside {
		if err := m.begin(); err != nil {
			return 0, err // io.EOF, where there is no other
		}
	}
	n, err := m.text.Read(p)
	m.n += int64(n)
	if err == io.EOF {
		m.inside = false
		m.ends = append(m.ends, end{m.source.n, m.n})
		return n, nil
	}
	return n, err
}

func (m *members) begin() (err error) {
	if m.text == nil {
		m.text, err = gzip.NewReader(m.source)
	} else {
		err = m.text.Reset(m.source)
	}
	if err != nil {
		return err
	}
	m.text.Multistream(false)
	m.inside = true
	return nil
}

// endsAt reports whether a member ends at a byte of the text, and forgets those
// that end before. The last such end is then the first that is remembered.
func (m *members) endsAt(text int64) bool {
	for len(m.ends) > 0 && (m.ends[0].text < text || len(m.ends) > 1 && m.ends[1].text == text) {
		m.ends = m.ends[1:]
	}
	return len(m.ends) > 0 && m.ends[0].text == text
}

// salvage makes a new file of the lines that are whole, in the place of the old
// one, which it returns with an error: who is killed meanwhile has it still.
func salvage(name string, old *os.File, was inventory) (*os.File, error) {
	info, err := old.Stat()
	if err != nil {
		return old, err
	}
	f, err := os.CreateTemp(filepath.Dir(name), filepath.Base(name)+".*")
	if err != nil {
		return old, err
	}
	err = rewrite(f, old, was)
	if err == nil {
		err = errors.Join(f.Chmod(info.Mode().Perm()), f.Sync())
	}
	if err == nil {
		err = os.Rename(f.Name(), name)
	}
	if err != nil {
		return old, errors.Join(err, f.Close(), os.Remove(f.Name()))
	}
	return f, old.Close()
}

// rewrite copies the members that are whole, and makes one of the lines after them.
func rewrite(f, old *os.File, was inventory) error {
	if _, err := old.Seek(0, io.SeekStart); err != nil {
		return err
	}
	if _, err := io.CopyN(f, old, was.whole); err != nil {
		return err
	}
	w := newWriter(f.Name(), f, was.whole, true, WriterOptions{})
	l := lines{text: bufio.NewReaderSize(&members{source: &bytesRead{r: bufio.NewReader(old)}}, 1<<16)}
	for range was.salvage {
		line, err := l.next()
		if err != nil {
			return err
		}
		if err := w.append(append(line, '\n')); err != nil {
			return err
		}
	}
	return w.Flush()
}

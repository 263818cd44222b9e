package recordings

import "os"

// Compose is the line of a record, newline and all.
func Compose(r Record) ([]byte, error) { return newComposer().compose(r) }

// NewWriter writes a plain recording to a file, whatever is in it.
func NewWriter(name string, f *os.File) *Writer { return newWriter(name, f, 0, false, WriterOptions{}) }

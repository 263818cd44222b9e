package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// output is where a command writes what is not its text: a file, or what is no
// file, such as a pipe.
type output struct {
	name   string      // as it was given, for whoever reads of it
	stdout bool        // it is where the text would go, which goes to stderr then
	file   string      // that is to be there as a whole, or ""
	old    fs.FileInfo // of the file that is replaced, nil if there is none
}

// outputAt finds out what a name stands for, before there is anything to write:
// "-" is stdout. A file that exists is refused unless it may be replaced, and a link
// stands for what it points to.
func outputAt(name string, replace bool, stdout io.Writer) (output, error) {
	o := output{name: name}
	info, err := os.Stat(name)
	switch {
	case name == "-" || err == nil && isSame(stdout, info):
		o.stdout = true
		return o, nil
	case errors.Is(err, fs.ErrNotExist):
		if _, err := os.Lstat(name); err == nil {
			return output{}, fmt.Errorf("%s is a link to what is not there", name)
		}
		o.file = name
		return o, nil
	case err != nil:
		return output{}, err
	case info.IsDir():
		return output{}, fmt.Errorf("%s is a folder", name)
	case !info.Mode().IsRegular():
		return o, nil
	case !replace:
		return output{}, fmt.Errorf("%s is there already: --force replaces it", name)
	}
	o.old = info
	o.file, err = filepath.EvalSymlinks(name)
	return o, err
}

// isSame reports whether a file is the one that a writer writes to, as
// /dev/stdout is.
func isSame(w io.Writer, info fs.FileInfo) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	its, err := f.Stat()
	return err == nil && os.SameFile(its, info)
}

// text is where a command says what it has done.
func (o output) text(c console) io.Writer {
	if o.stdout {
		return c.stderr
	}
	return c.stdout
}

func (o output) write(c console, data []byte) error {
	if o.stdout {
		_, err := c.stdout.Write(data)
		return err
	}
	if o.file != "" {
		return o.writeWhole(data)
	}
	f, err := os.OpenFile(o.name, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	return errors.Join(err, f.Close())
}

// writeWhole writes a file that is there as a whole or not at all, whenever it
// is interrupted: what was there before stays until then, and its mode for good.
func (o output) writeWhole(data []byte) (err error) {
	// Not os.CreateTemp, whose files are nobody else's: the umask says who may read it.
	temp, err := os.OpenFile(filepath.Join(filepath.Dir(o.file), "."+rand.Text()), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(temp.Name()))
		}
	}()
	_, err = temp.Write(data)
	if err == nil && o.old != nil {
		err = temp.Chmod(o.old.Mode().Perm())
	}
	if err == nil {
		err = temp.Sync()
	}
	if err = errors.Join(err, temp.Close()); err != nil {
		return err
	}
	return os.Rename(temp.Name(), o.file)
}

package recordings_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"tripcast.dev/events/recordings"
)

// kinds are the names of recordings of each kind.
var kinds = []string{"day.jsonl", "day.jsonl.gz"}

// create starts a recording whose file the test closes.
func create(t *testing.T, name string, o recordings.WriterOptions) *recordings.Writer {
	t.Helper()
	w, err := recordings.Create(name, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.Close() })
	return w
}

// bytesOf are the file's.
func bytesOf(t *testing.T, name string) []byte {
	t.Helper()
	file, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return file
}

func TestWriter(t *testing.T) {
	want := day(50)
	for _, kind := range kinds {
		name := write(t, kind, want...)
		got, err := read(t, name)
		if err != nil {
			t.Fatal(err)
		}
		wantSame(t, got, want)
		file := bytesOf(t, name)
		if again := bytesOf(t, write(t, kind, want...)); !bytes.Equal(again, file) {
			t.Errorf("%s: the same records have given other bytes", kind)
		}
		if compressed := !bytes.HasPrefix(file, []byte("{")); compressed != strings.HasSuffix(kind, ".gz") {
			t.Errorf("%s: compressed is %v", kind, compressed)
		}
		if _, err := recordings.Create(name, recordings.WriterOptions{}); !errors.Is(err, fs.ErrExist) || !strings.Contains(err.Error(), "resume it, or take another name") {
			t.Errorf("%s: a second recording of the name: error %v", kind, err)
		}
	}
	if _, err := recordings.Create(filepath.Join(t.TempDir(), "no", "day.jsonl"), recordings.WriterOptions{}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a recording in no folder: error %v", err)
	}
}

func TestWriterRefuses(t *testing.T) {
	name := filepath.Join(t.TempDir(), "day.jsonl")
	w := create(t, name, recordings.WriterOptions{})
	first := recordOf(nil, []byte("1"))
	if err := w.Write(first); err != nil {
		t.Fatal(err)
	}
	for says, edit := range map[string]func(r *recordings.Record){
		"the recording has its partition up to offset 42": func(r *recordings.Record) { r.Offset = 41 },
		"its topic has no name":                           func(r *recordings.Record) { r.Topic = "" },
		"record \xff/2/43: no line gives it back":         func(r *recordings.Record) { r.Topic = "\xff" },
		"its partition or offset is negative":             func(r *recordings.Record) { r.Partition = -1 },
		"its time is of the year 12016":                   func(r *recordings.Record) { r.At = r.At.AddDate(10000, 0, 0) },
		"bytes are more than the 16777216 of a line":      func(r *recordings.Record) { r.Value = make([]byte, 16<<20) },
	} {
		r := first
		r.Offset = 43
		edit(&r)
		if err := w.Write(r); err == nil || !strings.Contains(err.Error(), says) || !strings.Contains(err.Error(), name) {
			t.Errorf("error %v, want one that says %q", err, says)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	got, err := read(t, name)
	if err != nil {
		t.Fatal(err)
	}
	wantSame(t, got, []recordings.Record{first})
	if err := w.Write(recordOf(nil, nil)); !errors.Is(err, os.ErrClosed) {
		t.Errorf("writing after the end: error %v", err)
	}
}

// A full recording is whole, within its bound and not far below it, whatever is in it.
func TestFull(t *testing.T) {
	random := rand.NewChaCha8([32]byte{1})
	noise := make([]recordings.Record, 60)
	for i := range noise {
		value := make([]byte, 3000)
		_, _ = random.Read(value)
		noise[i] = recordOf(nil, value)
		noise[i].Offset = int64(i)
	}
	for _, kind := range kinds {
		for content, all := range map[string][]recordings.Record{"events": day(400), "noise": noise} {
			whole := int64(len(bytesOf(t, write(t, kind, all...))))
			for bound := int64(1); bound < whole+8000; bound += 1 + whole/17 {
				t.Run(fmt.Sprintf("%s of %s, %d of %d bytes", kind, content, bound, whole), func(t *testing.T) {
					testFull(t, filepath.Join(t.TempDir(), kind), all, bound, whole)
				})
			}
		}
	}
}

func testFull(t *testing.T, name string, all []recordings.Record, bound, whole int64) {
	w := create(t, name, recordings.WriterOptions{MaxBytes: bound})
	n := 0
	for n < len(all) {
		if err := w.Write(all[n]); err != nil {
			if !errors.Is(err, recordings.ErrFull) {
				t.Fatal(err)
			}
			break
		}
		n++
	}
	if n < len(all) {
		small := recordOf(nil, nil)
		small.Topic = "another"
		if err := w.Write(small); !errors.Is(err, recordings.ErrFull) {
			t.Errorf("a smaller record after one that did not fit: error %v: the order has a gap", err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	size := int64(len(bytesOf(t, name)))
	const spare = 5000 // of the largest line that may not have fitted
	if size > bound || n < len(all) && size < bound-spare || n < len(all) && bound > whole+spare {
		t.Errorf("%d records in %d bytes", n, size)
	}
	got, err := read(t, name)
	if err != nil {
		t.Fatal(err)
	}
	wantSame(t, got, all[:n])
	again, err := recordings.Resume(name, recordings.WriterOptions{MaxBytes: bound})
	if err != nil {
		t.Fatal(err)
	}
	if err := again.Write(large()); n < len(all) && !errors.Is(err, recordings.ErrFull) {
		t.Errorf("resumed, it has room: error %v", err)
	}
	if err := again.Close(); err != nil {
		t.Fatal(err)
	}
}

// large is a record of a topic of its own.
func large() recordings.Record {
	r := recordOf(nil, make([]byte, 8000))
	r.Topic = "another"
	return r
}

// What was flushed is there when the process is killed, at whatever state.
func TestFlush(t *testing.T) {
	for _, kind := range kinds {
		name := filepath.Join(t.TempDir(), kind)
		w := create(t, name, recordings.WriterOptions{})
		want := day(30)
		for n := 0; ; n++ {
			if err := w.Flush(); err != nil {
				t.Fatal(err)
			}
			got, err := read(t, name)
			if err != nil {
				t.Fatalf("%s: after %d records: %v", kind, n, err)
			}
			wantSame(t, got, want[:n])
			if n == len(want) {
				break
			}
			if err := w.Write(want[n]); err != nil {
				t.Fatal(err)
			}
		}
		before := bytesOf(t, name)
		if err := w.Flush(); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(bytesOf(t, name), before) {
			t.Errorf("%s: a flush of nothing has written something", kind)
		}
	}
}

// The disk is full: the error is told, again and again.
func TestWriteFails(t *testing.T) {
	if _, err := os.Stat("/dev/full"); err != nil {
		t.Skipf("SKIPPED: no device that is full: %v", err)
	}
	f, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	w := recordings.NewWriter("day.jsonl", f)
	defer w.Close()
	if err := w.Write(recordOf(nil, nil)); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := w.Flush(); err == nil || !strings.Contains(err.Error(), "no space left") {
			t.Errorf("flush: error %v", err)
		}
		if err := w.Write(recordOf(nil, nil)); err == nil || !strings.Contains(err.Error(), "no space left") {
			t.Errorf("write: error %v", err)
		}
	}
}

// resumed goes on with a file after a cut, as who has all its records does, and
// checks that none is missing or there twice.
func resumed(t *testing.T, name string, all []recordings.Record) (kept int) {
	t.Helper()
	w, err := recordings.Resume(name, recordings.WriterOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	got, err := read(t, name)
	if err != nil {
		t.Fatalf("resumed, it is not whole: %v", err)
	}
	wantSame(t, got, all[:len(got)])
	next := map[recordings.Partition]int64{}
	for _, r := range got {
		next[recordings.Partition{Topic: r.Topic, Number: r.Partition}] = r.Offset + 1
	}
	if !reflect.DeepEqual(w.Next(), next) {
		t.Fatalf("next is %v, want %v", w.Next(), next)
	}
	for _, r := range all {
		if r.Offset < next[recordings.Partition{Topic: r.Topic, Number: r.Partition}] {
			continue
		}
		if err := w.Write(r); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	whole, err := read(t, name)
	if err != nil {
		t.Fatal(err)
	}
	wantSame(t, whole, all)
	if entries, err := os.ReadDir(filepath.Dir(name)); err != nil || len(entries) != 1 {
		t.Fatalf("%d files in the folder, error %v: want the recording only", len(entries), err)
	}
	return len(got)
}

// However much of a recording is there, it can be gone on with.
func TestResume(t *testing.T) {
	all := day(6)
	plain := text(t, all)
	line := func(n int) int { return len(text(t, all[:n])) }
	for _, tt := range []struct {
		name  string
		file  []byte
		steps int
	}{
		{"day.jsonl", plain, 1},
		{"day.jsonl.gz", compressed(t, plain[:line(2)], plain[line(2):line(3)], nil, plain[line(3):]), 1},
		{"of one member.jsonl.gz", compressed(t, plain), 3},
		{"of members within lines.jsonl.gz", compressed(t, plain[:line(1)], plain[line(1):line(3)+7], plain[line(3)+7:line(5)], plain[line(5):]), 3},
		{"by another name", compressed(t, plain), 3},
	} {
		t.Run(tt.name, func(t *testing.T) {
			before := 0
			name := filepath.Join(t.TempDir(), tt.name)
			for missing := len(tt.file); missing >= 0; missing -= min(tt.steps, max(1, missing)) {
				n := len(tt.file) - missing
				if err := os.RemoveAll(name); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(name, tt.file[:n], 0o640); err != nil {
					t.Fatal(err)
				}
				readable, _ := readBytes(tt.file[:n])
				kept := resumed(t, name, all)
				if kept != len(readable) || kept < before {
					t.Fatalf("of %d bytes %d records are kept, want %d, and not less than of fewer bytes", n, kept, len(readable))
				}
				before = kept
				if info, err := os.Stat(name); err != nil || info.Mode().Perm() != 0o640 {
					t.Fatalf("its mode is %v, error %v", info.Mode(), err)
				}
			}
			if before != len(all) {
				t.Errorf("of the whole file %d records are kept", before)
			}
		})
	}
}

// What is wrong in the middle is no half-written end: nothing is cut off.
func TestResumeRefuses(t *testing.T) {
	good := text(t, day(6))
	packed := compressed(t, good)
	damaged := bytes.Clone(packed)
	damaged[len(damaged)-8]++
	for name, tt := range map[string]struct {
		file []byte
		line int
	}{
		"garbage":            {append(append(bytes.Clone(good), "what?\n"...), good...), 7},
		"compressed garbage": {compressed(t, good, []byte("what?\n"), good), 7},
		"garbage at the end": {append(bytes.Clone(good), "what?\n"...), 7},
		"an empty line":      {append(append(bytes.Clone(good), '\n'), good...), 7},
		"a checksum":         {append(damaged, packed...), 7},
		"no member":          {append(bytes.Clone(packed), good...), 7},
	} {
		t.Run(name, func(t *testing.T) {
			t.Chdir(t.TempDir())
			if err := os.WriteFile("day.jsonl", tt.file, 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := recordings.Resume("day.jsonl", recordings.WriterOptions{})
			wantError(t, err, tt.line, "the recording cannot be resumed, what comes before that line can be read")
			if !bytes.Equal(bytesOf(t, "day.jsonl"), tt.file) {
				t.Error("the file is another")
			}
		})
	}
	if _, err := recordings.Resume(filepath.Join(t.TempDir(), "day.jsonl"), recordings.WriterOptions{}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a file that is not there: error %v", err)
	}
}

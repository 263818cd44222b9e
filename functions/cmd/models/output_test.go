package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// put writes to what a name stands for, with --force.
func put(t *testing.T, name, text string) error {
	t.Helper()
	var stdout bytes.Buffer
	o, err := outputAt(name, true, &stdout)
	if err != nil {
		return err
	}
	return o.write(console{stdout: &stdout}, []byte(text))
}

func checkFile(t *testing.T, name, want string) {
	t.Helper()
	if got, err := os.ReadFile(name); err != nil || string(got) != want {
		t.Errorf("%s is %q (%v), want %q", name, got, err, want)
	}
}

func checkMode(t *testing.T, name string, want os.FileMode) {
	t.Helper()
	if info, err := os.Lstat(name); err != nil || info.Mode() != want {
		t.Errorf("%s has mode %v (%v), want %v", name, info.Mode(), err, want)
	}
}

// What is interrupted leaves the file that was there, and what was there stays what it was.
func TestOutput(t *testing.T) {
	dir := t.TempDir()
	name, link, nowhere := filepath.Join(dir, "a.model"), filepath.Join(dir, "link"), filepath.Join(dir, "nowhere")
	old := syscall.Umask(0o027)
	defer syscall.Umask(old)
	if err := put(t, name, "one"); err != nil {
		t.Fatal(err)
	}
	checkMode(t, name, 0o640)
	if err := os.Chmod(name, 0o604); err != nil {
		t.Fatal(err)
	}
	for to, from := range map[string]string{link: "a.model", nowhere: "none"} {
		if err := os.Symlink(from, to); err != nil {
			t.Fatal(err)
		}
	}
	for _, through := range []string{name, link} {
		if err := put(t, through, "by "+through); err != nil {
			t.Fatal(err)
		}
		checkFile(t, name, "by "+through)
		checkMode(t, name, 0o604)
	}
	checkMode(t, link, os.ModeSymlink|0o777)
	for what, is := range map[string]string{dir: "is a folder", nowhere: "is a link to what is not there", filepath.Join(name, "x"): "not a directory"} {
		if err := put(t, what, "x"); err == nil || !strings.Contains(err.Error(), is) {
			t.Errorf("%s: error %v, want %q", what, err, is)
		}
	}
	if _, err := outputAt(link, false, nil); err == nil || !strings.Contains(err.Error(), "--force") {
		t.Errorf("error %v where a file is not to be replaced", err)
	}
	if err := os.Chmod(dir, 0o500); err != nil {
		t.Fatal(err)
	}
	if os.Getuid() != 0 { // who may do all
		if err := put(t, name, "x"); err == nil {
			t.Error("no error where a folder cannot be written to")
		}
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 3 {
		t.Errorf("%d entries are left (%v), want 3", len(entries), err)
	}
}

// What is no file is written to, not replaced by one.
func TestOutputToPipe(t *testing.T) {
	name := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(name, 0o600); err != nil {
		t.Skipf("NOT CHECKED: %v", err)
	}
	read := make(chan []byte)
	go func() {
		data, _ := os.ReadFile(name)
		read <- data
	}()
	if err := put(t, name, "text"); err != nil {
		t.Fatal(err)
	}
	if got := string(<-read); got != "text" {
		t.Errorf("%q came through the pipe", got)
	}
	checkMode(t, name, os.ModeNamedPipe|0o600)
}

// To stdout goes the file alone, by whichever name.
func TestOutputToStdout(t *testing.T) {
	c := newCity(t)
	c.produce(t, topicOf(t))
	t.Chdir(t.TempDir())
	for _, args := range [][]string{
		{"export", "decision-tree", "--out"},
		{"export", "decision-tree", "--json", "--out"},
		{"rebuild", "decision-tree", "--to-version", "1", "--out"},
		{"show", "decision-tree", "--svg"},
	} {
		var stdout, stderr bytes.Buffer
		if code := run(t.Context(), append(args, "-"), c.getenv, &stdout, &stderr); code != exitOK {
			t.Fatalf("%q: exit code %d: %s", args, code, &stderr)
		}
		want := stdout.Bytes()
		if !strings.Contains(stderr.String(), "decision-tree") || bytes.Contains(want, []byte("of 120 labels, ")) {
			t.Errorf("%q: to stdout %.200q, to stderr %.200q", args, want, &stderr)
		}
		// As /dev/stdout is that.
		file, err := os.Create("file")
		if err != nil {
			t.Fatal(err)
		}
		stderr.Reset()
		if code := run(t.Context(), append(args, "file"), c.getenv, file, &stderr); code != exitOK {
			t.Fatalf("%q: exit code %d: %s", args, code, &stderr)
		}
		checkFile(t, "file", string(want))
		if err := file.Close(); err != nil {
			t.Fatal(err)
		}
	}
	data, err := os.ReadFile("file")
	if err != nil || !bytes.HasPrefix(data, []byte("<svg ")) {
		t.Errorf("the last is no picture: %.100q (%v)", data, err)
	}
	if entries, err := os.ReadDir("."); err != nil || len(entries) != 1 {
		t.Errorf("%d files are left (%v), want one", len(entries), err)
	}
}

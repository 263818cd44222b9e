package main

import (
	"os"
	"path/filepath"
	"testing"
)

func TestMemoryOf(t *testing.T) {
	for text, want := range map[string]int64{
		"MemTotal:       24689764 kB\nMemFree:         1 kB\n": 24689764 << 10,
		"MemFree:         1 kB\n":                               0,
		"MemTotal:       many kB\n":                             0,
		"MemTotal:       17\n":                                  0,
	} {
		file := filepath.Join(t.TempDir(), "meminfo")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if got := memoryOf(file); got != want {
			t.Errorf("%q: %d bytes, want %d", text, got, want)
		}
	}
	if got := memoryOf(filepath.Join(t.TempDir(), "nowhere")); got != 0 {
		t.Errorf("no file: %d bytes", got)
	}
}

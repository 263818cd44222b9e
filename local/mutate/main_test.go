package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestMutations holds the list to the code: each mistake can still be made.
func TestMutations(t *testing.T) {
	l := laboratory{folder: filepath.Join("..", "..")}
	names := map[string]bool{}
	for _, m := range mutations() {
		if names[m.name] {
			t.Errorf("%q is there twice", m.name)
		}
		names[m.name] = true
		mistaken, err := l.mutated(m)
		if err != nil {
			t.Error(err)
			continue
		}
		sound, err := os.ReadFile(filepath.Join(l.folder, m.file))
		if err != nil {
			t.Fatal(err)
		}
		if string(sound) == string(mistaken) {
			t.Errorf("%q changes nothing", m.name)
		}
	}
}

func TestRead(t *testing.T) {
	r := read([]byte(`{"Action":"start","Package":"p"}
{"Action":"run","Test":"TestEventReplay/duplicates"}
not of go test
{"Action":"output","Test":"TestEventReplay/duplicates","Output":"why\n"}
{"Action":"fail","Test":"TestEventReplay/duplicates"}
{"Action":"pass","Test":"TestEventReplay/snow-day"}
{"Action":"fail","Test":"TestEventReplay"}
{"Action":"fail","Test":"TestEventReplayTwice"}
{"Action":"fail","Package":"p"}
`))
	if want := []string{"TestEventReplayTwice", "duplicates"}; !slices.Equal(r.failed, want) || r.tests != 4 || r.text != "why\n" {
		t.Errorf("read %+v, want %v to have failed", r, want)
	}
}

func TestChoose(t *testing.T) {
	all := mutations()
	some := choose(slices.Clone(all), []string{"CHAMPION", "scaler"})
	for _, m := range some {
		if name := strings.ToLower(m.name); !strings.Contains(name, "champion") && !strings.Contains(name, "scaler") {
			t.Errorf("%q was chosen", m.name)
		}
	}
	if len(some) != 2 || len(choose(slices.Clone(all), nil)) != len(all) {
		t.Errorf("%d of %d were chosen, want 2", len(some), len(all))
	}
}

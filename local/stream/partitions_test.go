package stream

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// TestPartitions compares partitions with a map, through growth and decay, where
// hashes do not collide and where nearly all do.
func TestPartitions(t *testing.T) {
	for _, c := range []struct {
		name  string
		mask  uint64
		dated bool
	}{{"plain", ^uint64(0), false}, {"dated", ^uint64(0), true}, {"hashes collide", 3, false}, {"hashes collide, dated", 3, true}} {
		t.Run(c.name, func(t *testing.T) {
			random := rand.New(rand.NewPCG(1, 2))
			p := newPartitions()
			p.mask, p.dated = c.mask, c.dated
			want := map[string][]string{}
			for step := range 20_000 {
				// More and more of them, then fewer.
				name := fmt.Sprint("partition ", random.IntN(1+min(step, 20_000-step)/20))
				number, there := p.find([]byte(name))
				if _, ok := want[name]; ok != there {
					t.Fatalf("step %d: %s is found: %t", step, name, there)
				}
				if there && random.IntN(2) == 0 {
					p.remove(number)
					delete(want, name)
					continue
				}
				rows := make([]string, 1+random.IntN(3))
				for i := range rows {
					rows[i] = strings.Repeat(fmt.Sprint(step, i, " "), random.IntN(200))
				}
				p.set(name, rows, untilsOf(rows, c.dated))
				want[name] = rows
				if step%1000 == 999 {
					wantPartitions(t, p, want)
				}
			}
			wantPartitions(t, p, want)
			for name := range want {
				number, _ := p.find([]byte(name))
				p.remove(number)
			}
			held := 0
			for _, chunk := range p.chunks {
				if chunk != nil {
					held++
				}
			}
			if held > 1 {
				t.Errorf("nothing is left, and %d chunks are held", held)
			}
			p.reset()
			wantPartitions(t, p, nil)
		})
	}
}

func untilsOf(rows []string, dated bool) (untils []int64) {
	for _, data := range rows {
		if dated {
			untils = append(untils, int64(len(data))-100)
		}
	}
	return untils
}

func wantPartitions(t *testing.T, p *partitions, want map[string][]string) {
	t.Helper()
	live, text := 0, 0
	got := map[string][]string{}
	for n := range p.all() {
		got[p.name(n)] = p.rows(nil, n)
		if untils := p.untils(nil, n); !slices.Equal(untils, untilsOf(got[p.name(n)], p.dated)) {
			t.Errorf("%s has the untils %d", p.name(n), untils)
		}
		live += int(p.places[n].size)
	}
	if !maps.EqualFunc(got, want, slices.Equal) {
		t.Fatalf("there are %d partitions, want %d, or their rows differ", len(got), len(want))
	}
	counted := 0
	for _, c := range p.chunks {
		if c != nil {
			text, counted = text+len(c.text), counted+c.live
		}
	}
	if counted != live {
		t.Errorf("%d bytes are in use, the chunks count %d", live, counted)
	}
	if text > 2*live+largestChunk {
		t.Errorf("%d bytes are held for %d", text, live)
	}
}

// A row that somebody has stays what it was, whatever becomes of its partition.
func TestRowsDoNotChange(t *testing.T) {
	p := newPartitions()
	row := strings.Repeat("x", 1000)
	have := p.rows(nil, p.set("held", []string{row}, nil))[0]
	for n := range 2000 {
		p.set("held", []string{strings.Repeat("y", n)}, nil)
		p.set(fmt.Sprint(n%7), []string{strings.Repeat("z", n)}, nil)
	}
	if have != row {
		t.Error("a row has changed under its holder")
	}
}

package main

import (
	"encoding/json"
	"math"
	"os"
	"slices"
	"strings"
	"testing"
)

// A square and a triangle that share the arc between them, on a grid of whole
// degrees, and an islet that is no more than a line.
const tiny = `{"type": "Topology", "transform": {"scale": [0.5, 2], "translate": [-10, 40]},
	"arcs": [[[2, 0], [0, 1]], [[2, 1], [-2, 0], [0, -1], [2, 0]], [[2, 1], [2, -1], [-2, 0]], [[7, 7], [1, 0], [-1, 0]]],
	"objects": {"counties": {"type": "GeometryCollection", "geometries": [
		{"type": "Polygon", "id": "2", "properties": {"name": "square"}, "arcs": [[0, 1]]},
		{"type": "MultiPolygon", "id": "1", "properties": {"name": "triangle"}, "arcs": [[[3]], [[0, 2]]]}]}}}`

func TestReadCounties(t *testing.T) {
	counties, err := readCounties([]byte(tiny))
	if err != nil {
		t.Fatal(err)
	}
	want := []county{
		{"1", "triangle", []ring{{{-9, 40}, {-9, 42}, {-8, 40}, {-9, 40}}}},
		{"2", "square", []ring{{{-9, 40}, {-9, 42}, {-10, 42}, {-10, 40}, {-9, 40}}}},
	}
	if len(counties) != 2 {
		t.Fatalf("%d counties, want 2", len(counties))
	}
	for i, c := range counties {
		if c.id != want[i].id || c.name != want[i].name || len(c.rings) != 1 || !slices.Equal(c.rings[0], want[i].rings[0]) {
			t.Errorf("county %d is %v, want %v", i, c, want[i])
		}
	}
	backwards, err := readCounties([]byte(strings.Replace(tiny, "[[0, 2]]", "[[-3, -1]]", 1)))
	if err != nil {
		t.Fatal(err)
	}
	if r := (ring{{-9, 40}, {-8, 40}, {-9, 42}, {-9, 40}}); !slices.Equal(backwards[0].rings[0], r) {
		t.Errorf("backwards the triangle is %v, want %v", backwards[0].rings[0], r)
	}
}

func TestReadCountiesRefuses(t *testing.T) {
	for name, c := range map[string]struct{ from, to, want string }{
		"arcs that do not meet":  {"[[0, 2]]", "[[0, -3]]", "does not begin where the one before ends"},
		"an arc that is not":     {"[[0, 1]]", "[[0, 9]]", "there is no arc 9"},
		"a line":                 {"[[0, 1]]", "[[0]]", "make no ring"},
		"nothing":                {"[[0, 1]]", "[[]]", "make no ring"},
		"a point":                {`"Polygon"`, `"Point"`, `a "Point" has no outline`},
		"plain coordinates":      {`"transform"`, `"bbox"`, "not quantized"},
		"arcs of the wrong kind": {"[[0, 1]]", "[0, 1]", "cannot unmarshal"},
		"no JSON":                {"{", "(", "invalid character"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := readCounties([]byte(strings.Replace(tiny, c.from, c.to, 1)))
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("the error is %v, want %q", err, c.want)
			}
		})
	}
}

func TestCut(t *testing.T) {
	square := ring{{0, 0}, {2, 0}, {2, 2}, {0, 2}, {0, 0}}
	for _, c := range []struct {
		name string
		box  box
		want float64 // square degrees
	}{
		{"all", box{-1, -1, 3, 3}, 4},
		{"a half", box{1, -1, 3, 3}, 2},
		{"the middle", box{0.5, 0.5, 1.5, 1.5}, 1},
		{"a corner", box{1.5, 1.5, 3, 3}, 0.25},
		{"nothing", box{5, 5, 6, 6}, 0},
		{"an edge", box{2, 0, 3, 3}, 0},
	} {
		got := 0.0
		for _, r := range cut([]ring{square}, c.box) {
			if !r.closed() {
				t.Errorf("%s: %v is not closed", c.name, r)
			}
			got += squareDegrees(r)
		}
		if math.Abs(got-c.want) > 1e-9 {
			t.Errorf("%s: %v square degrees are left, want %v", c.name, got, c.want)
		}
	}
}

func squareDegrees(r ring) float64 {
	sum := 0.0
	for i := 1; i < len(r); i++ {
		sum += r[i-1].lon*r[i].lat - r[i].lon*r[i-1].lat
	}
	return math.Abs(sum) / 2
}

// committed is the map as the page gets it.
type committed struct {
	Source   string
	Boroughs []committedArea
	Around   []committedArea
	Labels   []committedPlace
	Airports []committedPlace
}

type committedArea struct {
	Name  string
	Rings [][]float64
}

type committedPlace struct {
	Name     string
	Lon, Lat float64
}

func (a committedArea) rings(t *testing.T) []ring {
	t.Helper()
	rings := make([]ring, len(a.Rings))
	for i, flat := range a.Rings {
		if len(flat)%2 != 0 {
			t.Fatalf("%s has a ring of %d numbers, which are no pairs", a.Name, len(flat))
		}
		for pair := range slices.Chunk(flat, 2) {
			rings[i] = append(rings[i], point{pair[0], pair[1]})
		}
	}
	return rings
}

const path = "../../assets/static/outlines.json"

func load(t *testing.T) (committed, int) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var c committed
	if err := json.Unmarshal(data, &c); err != nil {
		t.Fatal(err)
	}
	return c, len(data)
}

func TestCommittedShape(t *testing.T) {
	c, size := load(t)
	if size > 25_000 {
		t.Errorf("%s has %d bytes: a page has to load it", path, size)
	}
	if c.Source != source {
		t.Errorf("the source is %q: run task outlines", c.Source)
	}
	for _, a := range slices.Concat(c.Boroughs, c.Around) {
		rings := a.rings(t)
		if a.Name == "" || len(rings) == 0 {
			t.Errorf("%q has %d rings", a.Name, len(rings))
		}
		for _, r := range rings {
			if !r.closed() {
				t.Errorf("%s has a ring that is not closed: %v", a.Name, r)
			}
			for _, p := range r {
				if p.lon < city.west || p.lon > city.east || p.lat < city.south || p.lat > city.north || p != p.rounded() {
					t.Errorf("%s has a point outside the map, or of too many digits: %v", a.Name, p)
				}
			}
		}
		i := slices.IndexFunc(c.Labels, func(p committedPlace) bool { return p.Name == a.Name })
		if i < 0 || !contains(rings, point{c.Labels[i].Lon, c.Labels[i].Lat}) {
			t.Errorf("%s has no label that lies within it", a.Name)
		}
	}
}

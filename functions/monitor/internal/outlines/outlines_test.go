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
			got += r.area() / (kmLon * kmLat)
		}
		if math.Abs(got-c.want) > 1e-9 {
			t.Errorf("%s: %v square degrees are left, want %v", c.name, got, c.want)
		}
	}
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

// The city has some 780 square kilometres of land. The shores are simplified, so
// a borough may lack a little of its own.
func TestCommittedAreas(t *testing.T) {
	land := map[string]float64{"Bronx": 109, "Manhattan": 59, "Queens": 282, "Brooklyn": 180, "Staten Island": 151}
	c, _ := load(t)
	if len(c.Boroughs) != len(land) {
		t.Errorf("%d boroughs, want %d", len(c.Boroughs), len(land))
	}
	for _, b := range c.Boroughs {
		got := 0.0
		for _, r := range b.rings(t) {
			got += r.area()
		}
		if want := land[b.Name]; math.Abs(got-want) > 0.04*want {
			t.Errorf("%s has %.0f square kilometres, want about %.0f", b.Name, got, want)
		}
	}
}

func TestCommittedPlaces(t *testing.T) {
	c, _ := load(t)
	for _, p := range []struct {
		name     string
		lon, lat float64
		in       string // "" is water
	}{
		{"Times Square", -73.9855, 40.7580, "Manhattan"},
		{"Wall Street", -74.0090, 40.7062, "Manhattan"},
		{"Central Park", -73.9654, 40.7829, "Manhattan"},
		{"Prospect Park", -73.9690, 40.6602, "Brooklyn"},
		{"Coney Island", -73.9784, 40.5755, "Brooklyn"},
		{"Williamsburg", -73.9571, 40.7081, "Brooklyn"},
		{"JFK", -73.7781, 40.6413, "Queens"},
		{"LaGuardia", -73.8740, 40.7769, "Queens"},
		{"Flushing Meadows", -73.8455, 40.7400, "Queens"},
		{"Yankee Stadium", -73.9262, 40.8296, "Bronx"},
		{"Bronx Zoo", -73.8769, 40.8506, "Bronx"},
		{"St. George", -74.0776, 40.6437, "Staten Island"},
		{"Jersey City", -74.0500, 40.7250, "Hudson"},
		{"Newark", -74.1745, 40.6895, "Essex"},
		{"Valley Stream", -73.7000, 40.6643, "Nassau"},
		{"Yonkers", -73.8600, 40.9312, "Westchester"},
		{"the East River", -73.9680, 40.7350, ""},
		{"the Hudson, near its east side", -74.0150, 40.7400, ""},
		{"the Upper Bay", -74.0450, 40.6600, ""},
		{"the Narrows", -74.0450, 40.6070, ""},
		{"Jamaica Bay", -73.8550, 40.6450, ""},
	} {
		var in []string
		for _, a := range slices.Concat(c.Boroughs, c.Around) {
			if contains(a.rings(t), point{p.lon, p.lat}) {
				in = append(in, a.Name)
			}
		}
		if got := strings.Join(in, " and "); got != p.in {
			t.Errorf("%s lies in %q, want %q", p.name, got, p.in)
		}
	}
	for _, a := range c.Airports {
		if !(a.Lon > city.west && a.Lon < city.east && a.Lat > city.south && a.Lat < city.north) {
			t.Errorf("%s lies outside the map", a.Name)
		}
	}
	if len(c.Airports) != len(airports) {
		t.Errorf("%d airports, want %d", len(c.Airports), len(airports))
	}
}

func TestReadBoroughs(t *testing.T) {
	const good = `{"type": "FeatureCollection", "features": [
		{"properties": {"name": "b"}, "geometry": {"type": "MultiPolygon", "coordinates": [[[[1, 2], [3, 2], [3, 4], [1, 2]]]]}},
		{"properties": {"name": "a"}, "geometry": {"type": "MultiPolygon", "coordinates": [[[[5, 2], [6, 2], [6, 4], [5, 2]]], [[[7, 7], [8, 7], [8, 8], [7, 7]]]]}}]}`
	areas, err := readBoroughs([]byte(good), []string{"a", "b"})
	if err != nil {
		t.Fatal(err)
	}
	if areas[0].Name != "a" || len(areas[0].Rings) != 2 || areas[1].Name != "b" || areas[1].Rings[0][1] != (point{3, 2}) {
		t.Errorf("the boroughs are %v", areas)
	}
	for name, c := range map[string]struct{ from, to, want string }{
		"one that is not there": {`"b"`, `"c"`, "there is no b"},
		"a ring that is open":   {"[1, 2]]", "[1, 3]]", "not closed"},
		"a polygon":             {"MultiPolygon", "Polygon", `is a "Polygon"`},
		"no JSON":               {"{", "(", "invalid character"},
	} {
		if _, err := readBoroughs([]byte(strings.Replace(good, c.from, c.to, 1)), []string{"a", "b"}); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: the error is %v, want %q", name, err, c.want)
		}
	}
}

func TestSimplify(t *testing.T) {
	// Some 11 km a side, with a point that bends one side by 10 m and one that
	// bends another by 1 km, and an islet of some 100 m.
	square := ring{{-74, 40.5}, {-73.95, 40.5001}, {-73.87, 40.5}, {-73.86, 40.55}, {-73.87, 40.6}, {-74, 40.6}, {-74, 40.5}}
	islet := ring{{-74.1, 40.5}, {-74.099, 40.5}, {-74.099, 40.501}, {-74.1, 40.5}}
	got := simplify([]ring{square, islet})
	want := ring{{-74, 40.5}, {-73.87, 40.5}, {-73.86, 40.55}, {-73.87, 40.6}, {-74, 40.6}, {-74, 40.5}}
	if len(got) != 1 || !slices.Equal(got[0], want) {
		t.Errorf("simplified it is %v, want %v", got, want)
	}
}

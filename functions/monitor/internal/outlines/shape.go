package main

import (
	"encoding/json"
	"math"
)

// point is a place on the globe, in degrees.
type point struct{ lon, lat float64 }

// ring is a closed line: it ends with its first point.
type ring []point

// MarshalJSON writes lon, lat, lon, lat.
func (r ring) MarshalJSON() ([]byte, error) {
	flat := make([]float64, 0, 2*len(r))
	for _, p := range r {
		flat = append(flat, p.lon, p.lat)
	}
	return json.Marshal(flat)
}

func (r ring) closed() bool { return len(r) >= 4 && r[0] == r[len(r)-1] }

// decimals of a degree that are kept: 0.0001 is some ten metres.
const decimals = 1e4

func (p point) rounded() point {
	return point{math.Round(p.lon*decimals) / decimals, math.Round(p.lat*decimals) / decimals}
}

type box struct{ west, south, east, north float64 }

// cut is what of rings lies within a box, rounded.
func cut(rings []ring, b box) []ring {
	sides := []struct {
		inside func(point) bool
		cross  func(p, q point) point
	}{
		{func(p point) bool { return p.lon >= b.west }, func(p, q point) point { return atLon(p, q, b.west) }},
		{func(p point) bool { return p.lon <= b.east }, func(p, q point) point { return atLon(p, q, b.east) }},
		{func(p point) bool { return p.lat >= b.south }, func(p, q point) point { return atLat(p, q, b.south) }},
		{func(p point) bool { return p.lat <= b.north }, func(p, q point) point { return atLat(p, q, b.north) }},
	}
	var out []ring
	for _, r := range rings {
		for _, s := range sides {
			r = cutSide(r, s.inside, s.cross)
		}
		if r = tidy(r); r.closed() {
			out = append(out, r)
		}
	}
	return out
}

// cutSide cuts a ring along a line, after Sutherland and Hodgman: parts that
// come apart stay joined along the line, which lies on the map's edge.
func cutSide(r ring, inside func(point) bool, cross func(p, q point) point) ring {
	var out ring
	for i := 1; i < len(r); i++ {
		p, q := r[i-1], r[i]
		switch {
		case inside(p) && inside(q):
			out = append(out, q)
		case inside(p):
			out = append(out, cross(p, q))
		case inside(q):
			out = append(out, cross(p, q), q)
		}
	}
	if len(out) > 0 {
		out = append(out, out[0])
	}
	return out
}

func atLon(p, q point, lon float64) point {
	return point{lon, p.lat + (q.lat-p.lat)*(lon-p.lon)/(q.lon-p.lon)}
}

func atLat(p, q point, lat float64) point {
	return point{p.lon + (q.lon-p.lon)*(lat-p.lat)/(q.lat-p.lat), lat}
}

// tidy rounds, and drops points that are then the same as the one before.
func tidy(r ring) ring {
	var out ring
	for _, p := range r {
		if p = p.rounded(); len(out) == 0 || out[len(out)-1] != p {
			out = append(out, p)
		}
	}
	return out
}

// A degree, in kilometres: of latitude anywhere, of longitude in New York.
var (
	kmLat = 111.2
	kmLon = kmLat * math.Cos(40.7*math.Pi/180)
)

// simplify leaves out bends and islets that are too small to be seen.
func simplify(rings []ring) []ring {
	var out []ring
	for _, r := range rings {
		// A line from a point to itself says nothing of the bends between: the ring
		// is two lines, to the point that is furthest away and back.
		far := 0
		for i := range r {
			if fromLine(r[0], r[0], r[i]) > fromLine(r[0], r[0], r[far]) {
				far = i
			}
		}
		simple := append(straighten(r[:far+1]), straighten(r[far:])[1:]...)
		if simple.closed() && simple.area() >= leastIslet {
			out = append(out, simple)
		}
	}
	return out
}

// straighten keeps the ends of a line and, after Douglas and Peucker, the points
// that lie too far from what is kept.
func straighten(line ring) ring {
	last := len(line) - 1
	far, most := 0, leastBend
	for i := 1; i < last; i++ {
		if d := fromLine(line[0], line[last], line[i]); d > most {
			far, most = i, d
		}
	}
	if far == 0 {
		return ring{line[0], line[last]}
	}
	return append(straighten(line[:far+1]), straighten(line[far:])[1:]...)
}

// area is in square kilometres.
func (r ring) area() float64 {
	sum := 0.0
	for i := 1; i < len(r); i++ {
		sum += r[i-1].lon*r[i].lat - r[i].lon*r[i-1].lat
	}
	return math.Abs(sum) / 2 * kmLon * kmLat
}

// innermost is the point of an area that is furthest from its outline, found on
// a grid: where a name has most room.
func innermost(rings []ring) point {
	const steps = 80
	b := bounds(rings)
	best, room := point{}, -1.0
	for i := range steps {
		for j := range steps {
			p := point{
				b.west + (b.east-b.west)*(float64(i)+0.5)/steps,
				b.south + (b.north-b.south)*(float64(j)+0.5)/steps,
			}
			if d := distance(rings, p); d > room && contains(rings, p) {
				best, room = p, d
			}
		}
	}
	return best.rounded()
}

func bounds(rings []ring) box {
	b := box{west: 180, south: 90, east: -180, north: -90}
	for _, r := range rings {
		for _, p := range r {
			b.west, b.east = min(b.west, p.lon), max(b.east, p.lon)
			b.south, b.north = min(b.south, p.lat), max(b.north, p.lat)
		}
	}
	return b
}

// contains reports whether a point lies in an area, by the even-odd rule.
func contains(rings []ring, at point) bool {
	in := false
	for _, r := range rings {
		for i := 1; i < len(r); i++ {
			p, q := r[i-1], r[i]
			if (p.lat > at.lat) != (q.lat > at.lat) && at.lon < atLat(p, q, at.lat).lon {
				in = !in
			}
		}
	}
	return in
}

// distance is that of a point from an outline, in kilometres.
func distance(rings []ring, at point) float64 {
	least := math.Inf(1)
	for _, r := range rings {
		for i := 1; i < len(r); i++ {
			least = min(least, fromLine(r[i-1], r[i], at))
		}
	}
	return least
}

func fromLine(p, q, at point) float64 {
	dx, dy := (q.lon-p.lon)*kmLon, (q.lat-p.lat)*kmLat
	x, y := (at.lon-p.lon)*kmLon, (at.lat-p.lat)*kmLat
	along := 0.0
	if length := dx*dx + dy*dy; length > 0 {
		along = min(max((x*dx+y*dy)/length, 0), 1)
	}
	return math.Hypot(x-along*dx, y-along*dy)
}

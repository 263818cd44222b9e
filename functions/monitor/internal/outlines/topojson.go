package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
)

// county is a county and its outline.
type county struct {
	id, name string // the FIPS code
	rings    []ring
}

// topology is a quantized TopoJSON document, as far as it is needed:
// neighbours share the arcs between them, and an arc is a list of steps in whole
// numbers. https://github.com/topojson/topojson-specification
type topology struct {
	Transform *struct{ Scale, Translate [2]float64 }
	Arcs      [][][2]int64
	Objects   struct {
		Counties struct{ Geometries []geometry }
	}
}

type geometry struct {
	ID         string
	Type       string
	Properties struct{ Name string }
	Arcs       json.RawMessage
}

// readCounties reads all counties, by their codes.
func readCounties(data []byte) ([]county, error) {
	var t topology
	if err := json.Unmarshal(data, &t); err != nil {
		return nil, err
	}
	if t.Transform == nil {
		return nil, fmt.Errorf("there is no transform: the topology is not quantized")
	}
	arcs := t.decode()
	counties := make([]county, 0, len(t.Objects.Counties.Geometries))
	for _, g := range t.Objects.Counties.Geometries {
		rings, err := g.rings(arcs)
		if err != nil {
			return nil, fmt.Errorf("county %s (%s): %w", g.ID, g.Properties.Name, err)
		}
		counties = append(counties, county{id: g.ID, name: g.Properties.Name, rings: rings})
	}
	slices.SortFunc(counties, func(a, b county) int { return cmp.Compare(a.id, b.id) })
	return counties, nil
}

// decode adds up the steps of the arcs and puts them on the globe.
func (t *topology) decode() [][]point {
	arcs := make([][]point, len(t.Arcs))
	for i, steps := range t.Arcs {
		var x, y int64
		arcs[i] = make([]point, len(steps))
		for j, step := range steps {
			x += step[0]
			y += step[1]
			arcs[i][j] = point{
				lon: float64(x)*t.Transform.Scale[0] + t.Transform.Translate[0],
				lat: float64(y)*t.Transform.Scale[1] + t.Transform.Translate[1],
			}
		}
	}
	return arcs
}

// rings are those of all polygons of a geometry.
func (g *geometry) rings(arcs [][]point) ([]ring, error) {
	var polygons [][][]int
	var err error
	switch g.Type {
	case "Polygon":
		polygons = make([][][]int, 1)
		err = json.Unmarshal(g.Arcs, &polygons[0])
	case "MultiPolygon":
		err = json.Unmarshal(g.Arcs, &polygons)
	default:
		err = fmt.Errorf("a %q has no outline", g.Type)
	}
	if err != nil {
		return nil, err
	}
	var rings []ring
	for _, polygon := range polygons {
		for _, indices := range polygon {
			r, err := stitch(indices, arcs)
			if err != nil {
				return nil, err
			}
			if r.closed() { // and not an islet that the quantization has made a line
				rings = append(rings, r)
			}
		}
	}
	return rings, nil
}

// stitch makes a ring of arcs. Each begins where the one before ends, and that
// of index -1-i is arc i backwards.
func stitch(indices []int, arcs [][]point) (ring, error) {
	var r ring
	for _, index := range indices {
		backwards := index < 0
		if backwards {
			index = ^index
		}
		if index >= len(arcs) {
			return nil, fmt.Errorf("there is no arc %d", index)
		}
		arc := arcs[index]
		if backwards {
			arc = slices.Clone(arc)
			slices.Reverse(arc)
		}
		if len(r) > 0 && len(arc) > 0 {
			if r[len(r)-1] != arc[0] {
				return nil, fmt.Errorf("arc %d does not begin where the one before ends", index)
			}
			arc = arc[1:]
		}
		r = append(r, arc...)
	}
	if len(r) == 0 || r[0] != r[len(r)-1] {
		return nil, fmt.Errorf("the arcs %v make no ring", indices)
	}
	return r, nil
}

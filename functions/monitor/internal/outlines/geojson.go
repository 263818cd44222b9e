package main

import (
	"encoding/json"
	"fmt"
)

// readBoroughs reads the boroughs of a GeoJSON feature collection, in the order
// of their names that is given.
func readBoroughs(data []byte, names []string) ([]area, error) {
	var collection struct {
		Features []struct {
			Properties struct{ Name string }
			Geometry   struct {
				Type        string
				Coordinates [][][][2]float64
			}
		}
	}
	if err := json.Unmarshal(data, &collection); err != nil {
		return nil, err
	}
	shapes := make(map[string][]ring)
	for _, f := range collection.Features {
		if f.Geometry.Type != "MultiPolygon" {
			return nil, fmt.Errorf("%s is a %q, not a MultiPolygon", f.Properties.Name, f.Geometry.Type)
		}
		for _, polygon := range f.Geometry.Coordinates {
			for _, line := range polygon {
				r := make(ring, len(line))
				for i, p := range line {
					r[i] = point{p[0], p[1]}
				}
				if !r.closed() {
					return nil, fmt.Errorf("%s has a ring that is not closed", f.Properties.Name)
				}
				shapes[f.Properties.Name] = append(shapes[f.Properties.Name], r)
			}
		}
	}
	out := make([]area, len(names))
	for i, name := range names {
		if shapes[name] == nil {
			return nil, fmt.Errorf("there is no %s", name)
		}
		out[i] = area{name, shapes[name]}
	}
	return out, nil
}

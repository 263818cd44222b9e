// Command outlines draws the map that the monitor shows trips on: the five
// boroughs of New York and what is around them, cut out of the counties of the
// United States. It is run when the map is to change, and what it writes is
// committed: the monitor is built, and works, without a network.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
)

// source is what the map says of itself.
const source = "County shapes of the US Census Bureau (public domain), generalized for maps of 1:10,000,000 and so off by some hundred metres, " +
	"by way of the npm package us-atlas 3.0.1, counties-10m.json (ISC licence, Copyright 2013-2019 Michael Bostock); cut out by functions/monitor/internal/outlines."

// city is what the map shows.
var city = box{west: -74.62, south: 40.34, east: -73.28, north: 41.12}

// boroughs are the counties of the city by their FIPS codes, named as people
// call them, from north to south.
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
	from := flag.String("topology", "", "counties-10m.json of the npm package us-atlas")
	to := flag.String("out", "functions/monitor/assets/static/outlines.json", "the file to write")
	flag.Parse()
	if err := run(*from, *to); err != nil {
		fmt.Fprintln(os.Stderr, "outlines:", err)
		os.Exit(1)
	}
}

func run(from, to string) error {
	data, err := os.ReadFile(from)
	if err != nil {
		return fmt.Errorf("reading the counties, which -topology names: %w", err)
	}
	counties, err := readCounties(data)
	if err != nil {
		return fmt.Errorf("reading the counties of %s: %w", from, err)
	}
	drawn, err := draw(counties)
	if err != nil {
		return fmt.Errorf("drawing the counties of %s: %w", from, err)
	}
	out, err := json.Marshal(drawn)
	if err != nil {
		return err
	}
	return os.WriteFile(to, append(out, '\n'), 0o644)
}

// draw cuts the map out of counties.
func draw(counties []county) (outlines, error) {
	out := outlines{Source: source, Airports: airports}
	for _, b := range boroughs {
		for _, c := range counties {
			if c.id == b.id {
				out.Boroughs = append(out.Boroughs, area{b.name, cut(c.rings, city)})
			}
		}
	}
	if len(out.Boroughs) != len(boroughs) {
		return outlines{}, fmt.Errorf("only %d of the %d boroughs are there", len(out.Boroughs), len(boroughs))
	}
	for _, c := range counties {
		rings := cut(c.rings, city)
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

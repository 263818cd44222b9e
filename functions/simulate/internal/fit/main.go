// Command fit makes the tables of package newyork from recorded trips:
//
//	go run ./functions/simulate/internal/fit --trips FILE
//
// FILE is a month of trips in the columns of Kaggle's "NYC Taxi Trip Duration".
// It writes functions/simulate/internal/newyork/tables.json. Only aggregates are
// written: counts by zone, by hour and by cell of at least minCell points, medians
// and quantiles. The same trips always give the same bytes.
//
// The tables of a usual day leave out --except, days that were not; the storm's
// tables are what --storm, the first of StormHours, was beside a usual day.
package main

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"tripcast.dev/functions/simulate"
	"tripcast.dev/functions/simulate/internal/newyork"
)

func main() {
	log.SetFlags(0)
	log.SetPrefix("fit: ")
	trips := flag.String("trips", "", "recorded trips: a CSV file, .gz or .zip")
	zones := flag.String("zones", "functions/simulate/internal/newyork/zones.csv", "zones and their centres")
	out := flag.String("out", "functions/simulate/internal/newyork/tables.json", "where to write the tables")
	except := flag.String("except", "2016-01-01", "days that are not usual, beside the storm's, comma-separated")
	storm := flag.String("storm", "2016-01-23", "the first day of the storm")
	flag.Parse()
	if err := run(*trips, *zones, *out, *except, *storm); err != nil {
		log.Fatal(err)
	}
}

func run(tripsFile, zonesFile, out, except, storm string) error {
	days, err := parseDays(except, storm)
	if err != nil {
		return err
	}
	zones, err := readZones(zonesFile)
	if err != nil {
		return err
	}
	trips, err := readTrips(tripsFile)
	if err != nil {
		return err
	}
	tables, err := fit(trips, zones, days)
	if err != nil {
		return err
	}
	data, err := encode(tables)
	if err != nil {
		return err
	}
	if _, err := newyork.Parse(data); err != nil {
		return err
	}
	if err := os.WriteFile(out, data, 0o644); err != nil {
		return err
	}
	log.Printf("%d trips, %d zones, %d bytes in %s", tables.Trips, len(tables.Zones), len(data), out)
	return nil
}

// calendar says which days are usual.
type calendar struct {
	storm  time.Time
	except []time.Time
}

func parseDays(except, storm string) (calendar, error) {
	var c calendar
	var err error
	if c.storm, err = time.Parse(time.DateOnly, storm); err != nil {
		return c, fmt.Errorf("--storm: %w", err)
	}
	for _, s := range strings.Split(except, ",") {
		day, err := time.Parse(time.DateOnly, s)
		if err != nil {
			return c, fmt.Errorf("--except: %w", err)
		}
		c.except = append(c.except, day)
	}
	return c, nil
}

// stormHour is the hour of the storm, or -1.
func (c calendar) stormHour(t time.Time) int {
	h := int(math.Floor(t.Sub(c.storm).Hours()))
	if h < 0 || h >= newyork.StormHours {
		return -1
	}
	return h
}

func (c calendar) usual(t time.Time) bool {
	return c.stormHour(t) < 0 && !slices.Contains(c.except, t.Truncate(24*time.Hour))
}

func readZones(file string) ([]newyork.Zone, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	lines, err := csv.NewReader(f).ReadAll()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	var zones []newyork.Zone
	for i, line := range lines[1:] {
		lat, errLat := strconv.ParseFloat(line[2], 64)
		lon, errLon := strconv.ParseFloat(line[3], 64)
		if err := errors.Join(errLat, errLon); err != nil {
			return nil, fmt.Errorf("%s: line %d: %w", file, i+2, err)
		}
		zones = append(zones, newyork.Zone{Name: line[0], Borough: line[1], Latitude: lat, Longitude: lon})
	}
	return zones, nil
}

func readTrips(file string) ([]simulate.Trip, error) {
	source, err := simulate.OpenCSV(file)
	if err != nil {
		return nil, err
	}
	if r := source.Rejected(); r.Total > 0 {
		log.Print(r)
	}
	trips := make([]simulate.Trip, 0, source.Len())
	for {
		t, err := source.Next(context.Background())
		if errors.Is(err, io.EOF) {
			return trips, nil
		}
		if err != nil {
			return nil, err
		}
		trips = append(trips, t)
	}
}

// encode writes one row of a table per line, so that a change can be reviewed.
func encode(t *newyork.Tables) ([]byte, error) {
	compact, err := json.Marshal(t)
	if err != nil {
		return nil, err
	}
	compact = bytes.ReplaceAll(compact, []byte("],["), []byte("],\n["))
	compact = bytes.ReplaceAll(compact, []byte(`,"`), []byte(",\n\""))
	return append(joinCells(compact), '\n'), nil
}

// joinCells puts a zone's cells back on one line: they are short and many.
func joinCells(data []byte) []byte {
	const start = `"cells":[`
	var out []byte
	for {
		i := bytes.Index(data, []byte(start))
		if i < 0 {
			return append(out, data...)
		}
		j := i + bytes.Index(data[i:], []byte("]]"))
		out = append(out, data[:i]...)
		out = append(out, bytes.ReplaceAll(data[i:j], []byte("\n"), nil)...)
		data = data[j:]
	}
}

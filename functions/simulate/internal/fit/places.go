package main

import (
	"fmt"
	"math"
	"slices"

	"tripcast.dev/functions/simulate"
	"tripcast.dev/functions/simulate/internal/newyork"
)

// minCell is how many pick-ups and drop-offs a cell needs to be written: fewer
// become part of a wide cell, and where that has too few as well they are left out.
const minCell = 4

type cellKey struct{ col, row int }

type cellCount struct{ pickups, dropoffs int }

func keyOf(lat, lon float64) cellKey {
	return cellKey{int(math.Floor(lon / newyork.CellLon)), int(math.Floor(lat / newyork.CellLat))}
}

func (k cellKey) widen() cellKey {
	floor := func(n int) int { return int(math.Floor(float64(n) / newyork.Wide)) }
	return cellKey{floor(k.col), floor(k.row)}
}

// centre of a cell of size cells.
func centre(k cellKey, size int) (lat, lon float64) {
	half := float64(size) / 2
	return (float64(k.row) + half) * newyork.CellLat, (float64(k.col) + half) * newyork.CellLon
}

// zoneFinder tells the zone of a point: the one whose centre is nearest to the
// point's cell, so that a cell is in one zone only.
type zoneFinder struct {
	zones []newyork.Zone
	known map[cellKey]int
}

func newZoneFinder(zones []newyork.Zone) *zoneFinder {
	return &zoneFinder{zones: zones, known: make(map[cellKey]int)}
}

func (f *zoneFinder) zone(lat, lon float64) int {
	k := keyOf(lat, lon)
	z, ok := f.known[k]
	if !ok {
		z = f.nearest(centre(k, 1))
		f.known[k] = z
	}
	return z
}

func (f *zoneFinder) nearest(lat, lon float64) int {
	best, bestKm := 0, math.Inf(1)
	for i, z := range f.zones {
		if km := newyork.Kilometres(lat, lon, z.Latitude, z.Longitude); km < bestKm {
			best, bestKm = i, km
		}
	}
	return best
}

// fillCells counts pick-ups and drop-offs by cell and gives each zone its own.
func fillCells(trips []simulate.Trip, f *zoneFinder) error {
	fine := make(map[cellKey]cellCount)
	for _, t := range trips {
		k := keyOf(t.PickupLatitude, t.PickupLongitude)
		c := fine[k]
		c.pickups++
		fine[k] = c
		k = keyOf(t.DropoffLatitude, t.DropoffLongitude)
		c = fine[k]
		c.dropoffs++
		fine[k] = c
	}
	wide := make(map[cellKey]cellCount)
	for k, c := range fine {
		if c.pickups+c.dropoffs < minCell {
			w := wide[k.widen()]
			wide[k.widen()] = cellCount{w.pickups + c.pickups, w.dropoffs + c.dropoffs}
			delete(fine, k)
		}
	}
	add := func(k cellKey, size int, c cellCount) {
		if c.pickups+c.dropoffs >= minCell {
			z := &f.zones[f.nearest(centre(k, size))]
			z.Cells = append(z.Cells, newyork.Cell{k.col, k.row, size, c.pickups, c.dropoffs})
		}
	}
	for k, c := range fine {
		add(k, 1, c)
	}
	for k, c := range wide {
		add(cellKey{k.col * newyork.Wide, k.row * newyork.Wide}, newyork.Wide, c)
	}
	for _, z := range f.zones {
		if len(z.Cells) == 0 {
			return fmt.Errorf("zone %s has no cell of %d points: leave it out of the zones", z.Name, minCell)
		}
		slices.SortFunc(z.Cells, func(a, b newyork.Cell) int { return slices.Compare(a[:], b[:]) })
	}
	return nil
}

// fitPlaces counts where trips start and go.
func fitPlaces(t *newyork.Tables, trips []simulate.Trip, at []place) {
	zones := len(t.Zones)
	t.Origins = matrix[int](newyork.Blocks, zones)
	t.Destinations = matrix[int](zones, zones)
	t.RoundTrips.Km = newyork.MinKm
	var km, roundTrips float64
	for i, trip := range trips {
		t.Origins[newyork.Block(trip.PickedUpAt)][at[i].pickup]++
		t.Destinations[at[i].pickup][at[i].dropoff]++
		km += at[i].km
		if at[i].km < t.RoundTrips.Km {
			roundTrips++
		}
	}
	t.RoundTrips.Share = round(roundTrips/float64(len(trips)), 4)
	t.Pull = newyork.Pull{Trips: 3, Km: round(km/float64(len(trips)), 2)}
	fitDestinations(t, trips, at)
}

// fitDestinations fits the factors that make an origin's usual destinations those
// of the hour, by iterative proportional fitting (Deming and Stephan, 1940): each
// factor in turn becomes what was recorded over what the others expect, drawn to 1
// where too few trips tell.
func fitDestinations(t *newyork.Tables, trips []simulate.Trip, at []place) {
	const prior = 10
	zones := len(t.Zones)
	t.ReachKm = []float64{0.4, 1, 1.5, 2.2, 3.2, 4.5, 6.5, 10}
	classes := matrix[int](zones, zones)
	usual := make([][]float64, zones)
	for o := range zones {
		usual[o] = t.Usual(o)
		for d := range zones {
			classes[o][d] = newyork.Class(t.ReachKm, t.Between(o, d))
		}
	}
	starts := matrix[float64](newyork.DayHours, zones)
	arrivals := matrix[float64](newyork.Blocks, zones)
	reached := matrix[float64](newyork.DayHours, len(t.ReachKm)+1)
	for i, trip := range trips {
		h, p := newyork.DayHour(trip.PickedUpAt), at[i]
		starts[h][p.pickup]++
		arrivals[h/3][p.dropoff]++
		reached[h][classes[p.pickup][p.dropoff]]++
	}

	t.Attraction = matrix[float64](newyork.Blocks, zones)
	t.Reach = matrix[float64](newyork.DayHours, len(t.ReachKm)+1)
	fill(t.Attraction, 1)
	fill(t.Reach, 1)
	// expect adds up what the factors so far make of the recorded starts.
	expect := func(add func(hour, class, destination int, trips float64)) {
		weights := make([]float64, zones)
		for h, row := range starts {
			for o, n := range row {
				if n == 0 {
					continue
				}
				var sum float64
				for d := range zones {
					weights[d] = usual[o][d] * t.Attraction[h/3][d] * t.Reach[h][classes[o][d]]
					sum += weights[d]
				}
				for d, w := range weights {
					add(h, classes[o][d], d, n*w/sum)
				}
			}
		}
	}
	for range 8 {
		expected := matrix[float64](newyork.Blocks, zones)
		expect(func(h, _, d int, n float64) { expected[h/3][d] += n })
		scale(t.Attraction, arrivals, expected, prior)
		expected = matrix[float64](newyork.DayHours, len(t.ReachKm)+1)
		expect(func(h, c, _ int, n float64) { expected[h][c] += n })
		scale(t.Reach, reached, expected, prior)
	}
	roundRows(t.Attraction, 2)
	roundRows(t.Reach, 3)
}

// scale multiplies factors by recorded over expected, both enlarged by a prior.
func scale(factors, recorded, expected [][]float64, prior float64) {
	for i := range factors {
		for j := range factors[i] {
			factors[i][j] *= (recorded[i][j] + prior) / (expected[i][j] + prior)
		}
	}
}

func matrix[T any](rows, columns int) [][]T {
	m := make([][]T, rows)
	for i := range m {
		m[i] = make([]T, columns)
	}
	return m
}

func fill(m [][]float64, x float64) {
	for _, row := range m {
		for j := range row {
			row[j] = x
		}
	}
}

func roundRows(m [][]float64, digits int) {
	for _, row := range m {
		for j := range row {
			row[j] = round(row[j], digits)
		}
	}
}

func fitVendors(t *newyork.Tables, trips []simulate.Trip) {
	byID := make(map[int]*newyork.Vendor)
	var ids []int
	for _, trip := range trips {
		v := byID[trip.VendorID]
		if v == nil {
			v = &newyork.Vendor{ID: trip.VendorID}
			byID[trip.VendorID] = v
			ids = append(ids, trip.VendorID)
		}
		v.Trips++
		for len(v.Passengers) <= trip.PassengerCount {
			v.Passengers = append(v.Passengers, 0)
		}
		v.Passengers[trip.PassengerCount]++
	}
	slices.Sort(ids)
	for _, id := range ids {
		t.Vendors = append(t.Vendors, *byID[id])
	}
}

func round(x float64, digits int) float64 {
	scale := math.Pow10(digits)
	return math.Round(x*scale) / scale
}

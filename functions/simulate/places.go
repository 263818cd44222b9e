package simulate

import (
	"math"
	"math/rand/v2"
	"slices"

	"tripcast.dev/functions/simulate/internal/newyork"
)

// places draws where trips start and go, and who rides: the counts of the
// tables made cumulative.
type places struct {
	tables     *newyork.Tables
	origins    [newyork.Blocks]weights
	usual      [][]float64 // by origin, by destination
	classes    [][]int     // of their distances
	scratch    weights     // of the destination being drawn
	pickups    []area      // by zone
	dropoffs   []area
	vendors    weights
	vendorIDs  []int
	passengers []weights // by vendor, by count
}

// originPrior is how many trips of a mean block an origin's count weighs beside
// its own: a zone is not empty because 59,000 trips did not start there.
const originPrior = 20

func newPlaces(t *newyork.Tables) *places {
	zones := len(t.Zones)
	p := &places{tables: t, scratch: make(weights, zones)}

	overall := make([]float64, zones)
	for _, row := range t.Origins {
		for z, n := range row {
			overall[z] += float64(n)
		}
	}
	row := make([]float64, zones)
	for b := range p.origins {
		for z := range row {
			row[z] = float64(t.Origins[b][z]) + originPrior*overall[z]/float64(t.Trips)
		}
		p.origins[b] = cumulate(row)
	}

	for origin := range zones {
		p.usual = append(p.usual, t.Usual(origin))
		classes := make([]int, zones)
		for z := range classes {
			classes[z] = newyork.Class(t.ReachKm, t.Between(origin, z))
		}
		p.classes = append(p.classes, classes)
	}
	for _, z := range t.Zones {
		p.pickups = append(p.pickups, newArea(z.Cells, 3, 4))
		p.dropoffs = append(p.dropoffs, newArea(z.Cells, 4, 3))
	}
	var vendors []float64
	for _, v := range t.Vendors {
		vendors = append(vendors, float64(v.Trips))
		p.vendorIDs = append(p.vendorIDs, v.ID)
		counts := make([]float64, len(v.Passengers))
		for i, n := range v.Passengers {
			counts[i] = float64(n)
		}
		p.passengers = append(p.passengers, cumulate(counts))
	}
	p.vendors = cumulate(vendors)
	return p
}

// origin is the zone of a pick-up at an hour, an index of newyork.DayHours.
func (p *places) origin(hour int, rng *rand.Rand) int {
	return p.origins[hour/3].draw(rng)
}

// destination is the zone of the drop-off. Its weights are added up each time:
// a table for every hour and origin would be seven megabytes.
func (p *places) destination(hour, origin int, rng *rand.Rand) int {
	attraction, reach := p.tables.Attraction[hour/3], p.tables.Reach[hour]
	classes := p.classes[origin]
	var sum float64
	for z, n := range p.usual[origin] {
		sum += n * attraction[z] * reach[classes[z]]
		p.scratch[z] = sum
	}
	return p.scratch.draw(rng)
}

// party is a taxi's vendor and how many ride in it.
func (p *places) party(rng *rand.Rand) (vendorID, passengers int) {
	v := p.vendors.draw(rng)
	return p.vendorIDs[v], p.passengers[v].draw(rng)
}

// weights are cumulative; the last one is their sum.
type weights []float64

func cumulate(each []float64) weights {
	w := make(weights, len(each))
	var sum float64
	for i, x := range each {
		sum += x
		w[i] = sum
	}
	return w
}

// draw is an index, each as likely as its weight.
func (w weights) draw(rng *rand.Rand) int {
	x := rng.Float64() * w[len(w)-1]
	// The first that is above x: one without weight is never above what is before it.
	i, _ := slices.BinarySearchFunc(w, x, func(sum, x float64) int {
		if sum <= x {
			return -1
		}
		return 1
	})
	return min(i, len(w)-1)
}

// area draws points of a zone: a cell by its count, then anywhere in it.
type area struct {
	cells  []newyork.Cell
	counts weights
}

// newArea weighs cells by one of their counts, or by the other where the zone has
// none of the one.
func newArea(cells []newyork.Cell, count, otherwise int) area {
	each := make([]float64, len(cells))
	fill := func(column int) (sum float64) {
		for i, c := range cells {
			each[i] = float64(c[column])
			sum += each[i]
		}
		return sum
	}
	if fill(count) == 0 {
		fill(otherwise)
	}
	return area{cells: cells, counts: cumulate(each)}
}

func (a area) point(rng *rand.Rand) (latitude, longitude float64) {
	c := a.cells[a.counts.draw(rng)]
	size := float64(c[2])
	latitude = (float64(c[1]) + size*rng.Float64()) * newyork.CellLat
	longitude = (float64(c[0]) + size*rng.Float64()) * newyork.CellLon
	return sixDigits(latitude), sixDigits(longitude)
}

// near is a point at most km away.
func near(latitude, longitude, km float64, rng *rand.Rand) (float64, float64) {
	const kmPerDegree = 111.2 // of latitude
	sin, cos := math.Sincos(2 * math.Pi * rng.Float64())
	km *= rng.Float64()
	latitude += sin * km / kmPerDegree
	longitude += cos * km / (kmPerDegree * math.Cos(latitude*math.Pi/180))
	return sixDigits(latitude), sixDigits(longitude)
}

// sixDigits of a degree are a tenth of a metre, as a GPS gives at most.
func sixDigits(degrees float64) float64 { return math.Round(degrees*1e6) / 1e6 }

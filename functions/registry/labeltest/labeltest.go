// Package labeltest makes labels up, for tests and benchmarks of whoever learns
// them.
package labeltest

import (
	"math"
	"math/rand/v2"

	"tripcast.dev/functions/registry"
)

// Trip is a trip through Manhattan with the features that sql/ has, at a speed that
// depends on the hour: of a number always the same one.
func Trip(id string, n int) registry.Label {
	r := rand.New(rand.NewPCG(1, uint64(n)))
	place := func() (longitude, latitude float64) {
		return -73.97 + 0.03*r.NormFloat64(), 40.75 + 0.03*r.NormFloat64()
	}
	fromLongitude, fromLatitude := place()
	toLongitude, toLatitude := place()
	east, north := 84.3*(toLongitude-fromLongitude), 111.2*(toLatitude-fromLatitude) // km
	hour := 2 * math.Pi * r.Float64()
	speed := 15 + 5*math.Cos(hour) // km/h, fast at night
	recent := speed * (1 + 0.1*r.NormFloat64())
	km := math.Hypot(east, north)
	return registry.Label{
		ID: id,
		Y:  min(60+3600*km/speed*math.Exp(0.3*r.NormFloat64()), 86_400),
		Features: map[string]float64{
			"distance_km": km, "l1_distance": math.Abs(toLongitude-fromLongitude) + math.Abs(toLatitude-fromLatitude),
			"bearing":          math.Mod(math.Atan2(east, north)*180/math.Pi+360, 360),
			"pickup_longitude": fromLongitude, "pickup_latitude": fromLatitude,
			"dropoff_longitude": toLongitude, "dropoff_latitude": toLatitude,
			"hour_cos": math.Cos(hour), "hour_sin": math.Sin(hour), "is_weekend": float64(r.IntN(7) / 5),
			"recent_speed": recent, "avg_speed_by_hour": speed, "passenger_count": float64(1 + r.IntN(4)),
		},
	}
}

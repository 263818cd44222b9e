package live

import (
	"context"
	"time"
)

// The rows of the views that are kept as tables.

type modelError struct {
	trips           int64
	mae, rmse, bias float64
}

// sums are additive: of several classes of trips, the sum is that of all of them.
type sums struct {
	trips int64
	absMS int64
}

func (s sums) add(other sums) sums { return sums{s.trips + other.trips, s.absMS + other.absMS} }

// mae is in seconds.
func (s sums) mae() float64 { return float64(s.absMS) / float64(s.trips) / 1000 }

type bucketKey struct {
	model string
	start int64 // by the city's clock, ms
}

type hourKey struct {
	model string
	hour  int64
}

type distanceKey struct {
	model  string
	fromKM int64
}

type bestModel struct {
	model string
	mae   float64
}

// The views that are kept as tables.
const (
	viewCounts    = "trip_counts"
	viewLag       = "prediction_lag"
	viewErrors    = "model_errors"
	viewBuckets   = "model_errors_5m"
	viewHours     = "model_errors_by_hour"
	viewDistances = "model_errors_by_distance"
	viewBest      = "best_models"
)

var tables = [...]string{viewCounts, viewLag, viewErrors, viewBuckets, viewHours, viewDistances, viewBest}

// view is one subscription that is kept up.
type view struct {
	name   string
	follow func(ctx context.Context, live func()) error
}

// views are the tables, each with how it is read and what depends on it.
func (f *Feed) views() []view {
	return []view{
		table(f, viewCounts, changedSummary, readCounts, func(s *state) *map[struct{}]Counts { return &s.counts }),
		table(f, viewLag, changedSummary, readLag, func(s *state) *map[struct{}]Quantile { return &s.lags }),
		table(f, viewErrors, changedModels, readErrors, func(s *state) *map[string]modelError { return &s.errors }),
		table(f, viewBuckets, changedErrors, readBucket, func(s *state) *map[bucketKey]sums { return &s.buckets }),
		table(f, viewHours, changedSegments, readHour, func(s *state) *map[hourKey]sums { return &s.hours }),
		table(f, viewDistances, changedSegments, readDistance, func(s *state) *map[distanceKey]sums { return &s.distances }),
		table(f, viewBest, changedErrors, readBest, func(s *state) *map[int64]bestModel { return &s.best }),
	}
}

// keyed is a row and what there is one of.
type keyed[K comparable, R any] struct {
	key K
	row R
}

// table keeps the rows of a view by their key. The rows of the last session stay
// until the snapshot of the next one takes their place.
func table[K comparable, R any](f *Feed, name string, what changed, read func(*row) (K, R), of func(*state) *map[K]R) view {
	return view{name, func(ctx context.Context, live func()) error {
		var rows map[K]R
		s := &subscription[keyed[K, R]]{view: name}
		s.read = func(r *row) keyed[K, R] {
			key, row := read(r)
			return keyed[K, R]{key, row}
		}
		s.take = func(changes []change[keyed[K, R]]) {
			first := rows == nil
			f.change(what, func(s *state) {
				if first {
					rows = make(map[K]R, len(changes))
					*of(s) = rows
				}
				for _, c := range changes {
					if c.diff > 0 {
						rows[c.row.key] = c.row.row
					} else {
						delete(rows, c.row.key)
					}
				}
			})
			if first {
				live()
			}
		}
		return s.follow(ctx, f)
	}}
}

func readCounts(r *row) (struct{}, Counts) {
	return struct{}{}, Counts{
		PickUps: column[int64](r, "pick_ups"), Predictions: column[int64](r, "predictions"),
		InProgress: column[int64](r, "in_progress"), Completed: column[int64](r, "completed"),
		Labels: column[int64](r, "labels"), UnmatchedDropOffs: column[int64](r, "unmatched_drop_offs"),
	}
}

// readLag reads a row that is there even before the first prediction.
func readLag(r *row) (struct{}, Quantile) {
	return struct{}{}, Quantile{
		N:   orZero[int64](r, "predictions"),
		P50: float64(orZero[int64](r, "p50_ms")), P99: float64(orZero[int64](r, "p99_ms")),
	}
}

func readErrors(r *row) (string, modelError) {
	return column[string](r, "model"), modelError{
		trips: column[int64](r, "trips"),
		mae:   finite(column[float64](r, "mae_s")), rmse: finite(column[float64](r, "rmse_s")), bias: finite(column[float64](r, "bias_s")),
	}
}

func readSums(r *row) sums {
	return sums{trips: column[int64](r, "trips"), absMS: column[int64](r, "abs_ms")}
}

func readBucket(r *row) (bucketKey, sums) {
	return bucketKey{column[string](r, "model"), column[time.Time](r, "bucket").UnixMilli()}, readSums(r)
}

func readHour(r *row) (hourKey, sums) {
	return hourKey{column[string](r, "model"), column[int64](r, "hour")}, readSums(r)
}

func readDistance(r *row) (distanceKey, sums) {
	return distanceKey{column[string](r, "model"), column[int64](r, "from_km")}, readSums(r)
}

func readBest(r *row) (int64, bestModel) {
	return column[time.Time](r, "window_end").UnixMilli(), bestModel{column[string](r, "model"), finite(column[float64](r, "mae_s"))}
}

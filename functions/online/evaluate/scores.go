package evaluate

import "math"

// Scores are a model's errors over all predictions that were judged; NaN where
// too few were.
type Scores struct {
	MAE   float64 // mean absolute error
	RMSE  float64 // root of the mean squared error
	RMSLE float64 // RMSE of log(1 + y), NaN if a label was -1 or less
	R2    float64 // share of the labels' variance that is explained
	Bias  float64 // mean of prediction less label
}

// judge keeps the running sums.
type judge struct {
	n                              int
	absolute, squared, log, errors float64
	mean, spread                   float64 // of the labels
}

func (j *judge) add(y, predicted float64) {
	j.n++
	e := predicted - y
	j.absolute += math.Abs(e)
	j.squared += float64(e * e)
	j.errors += e
	l := math.Log1p(predicted) - math.Log1p(y)
	j.log += float64(l * l)
	d := y - j.mean
	j.mean += d / float64(j.n)
	j.spread += float64(d * (y - j.mean))
}

func (j *judge) count() int { return j.n }

func (j *judge) scores() Scores {
	n := float64(j.n)
	s := Scores{
		MAE: j.absolute / n, RMSE: math.Sqrt(j.squared / n), RMSLE: math.Sqrt(j.log / n),
		R2: math.NaN(), Bias: j.errors / n,
	}
	if j.spread > 0 {
		s.R2 = 1 - j.squared/j.spread
	}
	return s
}

package evaluate

import (
	"math"

	"tripcast.dev/functions/online/metrics"
	"tripcast.dev/functions/online/stats"
)

// Scores are a model's errors over all predictions that were judged, by package
// metrics. They are NaN if there were none.
type Scores struct {
	MAE   float64 // mean absolute error
	RMSE  float64 // root of the mean squared error
	RMSLE float64 // the same of log(1 + y), of labels above -1
	R2    float64 // share of the labels' variance that is explained
	Bias  float64 // mean of prediction less label
}

// judge keeps the scores.
type judge struct {
	mae   metrics.MAE
	rmse  metrics.RMSE
	rmsle metrics.RMSLE
	r2    metrics.R2
	bias  stats.Mean
}

// add judges a prediction, or returns false if it cannot be judged.
func (j *judge) add(y, predicted float64) bool {
	if !j.mae.Counts(y, predicted) {
		return false
	}
	j.mae.Update(y, predicted)
	j.rmse.Update(y, predicted)
	j.rmsle.Update(y, predicted)
	j.r2.Update(y, predicted)
	j.bias.Update(predicted - y)
	return true
}

func (j *judge) count() int { return int(j.mae.N()) }

func (j *judge) scores() Scores {
	nan := math.NaN()
	s := Scores{MAE: nan, RMSE: nan, RMSLE: nan, R2: nan, Bias: nan}
	if j.mae.N() > 0 {
		s.MAE, s.RMSE, s.R2, s.Bias = j.mae.Get(), j.rmse.Get(), j.r2.Get(), j.bias.Get()
	}
	if j.rmsle.N() > 0 {
		s.RMSLE = j.rmsle.Get()
	}
	return s
}

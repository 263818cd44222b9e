package neighbors

import (
	"math"
	"slices"
)

// aggregate makes a prediction of what a search has found, nearest first.
func (r *Regressor) aggregate(s *search) float64 {
	if len(s.y) == 0 {
		return 0
	}
	smoothing := r.config.Smoothing
	if smoothing == 0 && !(s.dist[0] > 0) {
		return s.y[0]
	}
	switch r.config.AggregationMethod {
	case Median:
		return median(s.y)
	case WeightedMean:
		if !s.weigh(smoothing) {
			return s.y[0]
		}
		return weightedMean(s, smoothing)
	case WeightedMedian:
		if !s.weigh(smoothing) {
			return s.y[0]
		}
		return weightedMedian(s)
	}
	return mean(s.y)
}

// weigh computes the weights, and reports false where the nearest is so near
// that its weight would be infinite: then it is as good as at distance 0.
func (s *search) weigh(smoothing float64) bool {
	for _, d := range s.dist {
		s.weights = append(s.weights, 1/(d+smoothing))
	}
	return !math.IsInf(s.weights[0], 1)
}

func mean(y []float64) float64 {
	var sum float64
	for _, v := range y {
		sum += v
	}
	return sum / float64(len(y))
}

// median sorts y.
func median(y []float64) float64 {
	slices.Sort(y)
	n := len(y)
	if n%2 == 1 {
		return y[n/2]
	}
	return (y[n/2-1] + y[n/2]) / 2
}

// weightedMean divides every label by its distance, as River does, which may
// differ in the last bit from multiplying it by the weight.
func weightedMean(s *search, smoothing float64) float64 {
	var sum, weights float64
	for i, w := range s.weights {
		weights += w
		sum += s.y[i] / (s.dist[i] + smoothing)
	}
	if weights == 0 { // all are infinitely far
		return mean(s.y)
	}
	return sum / weights
}

// weightedMedian is the smallest label that with all smaller ones has at least
// half of the weight.
func weightedMedian(s *search) float64 {
	// The neighbours are few, and a sort that moves labels and weights together
	// needs no memory.
	for i := 1; i < len(s.y); i++ {
		y, w := s.y[i], s.weights[i]
		j := i
		for ; j > 0 && s.y[j-1] > y; j-- {
			s.y[j], s.weights[j] = s.y[j-1], s.weights[j-1]
		}
		s.y[j], s.weights[j] = y, w
	}
	var total, sum float64
	for _, w := range s.weights {
		total += w
	}
	for i, w := range s.weights {
		if sum += w; sum >= total/2 {
			return s.y[i]
		}
	}
	return s.y[len(s.y)-1]
}

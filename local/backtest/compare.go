package backtest

import (
	"fmt"
	"math"
	"strconv"

	"tripcast.dev/functions/online/metrics"
)

// Comparison says whether one model is better than another, by the trips that
// both answered, in the order of the answers.
//
// It is the test of Diebold and Mariano, "Comparing Predictive Accuracy" (1995),
// of absolute errors. Those of trips that end one after another are not
// independent, so the variance of their mean difference is that of Newey and
// West, "A Simple, Positive Semi-Definite, Heteroskedasticity and
// Autocorrelation Consistent Covariance Matrix" (1987), with as many lags as
// their "Automatic Lag Selection in Covariance Matrix Estimation" (1994) starts
// from.
type Comparison struct {
	A     string `json:"a"`
	B     string `json:"b"`
	Trips int    `json:"trips"` // that both answered

	MAEA    Number `json:"mae_a"` // of these trips
	MAEB    Number `json:"mae_b"`
	NearerA Number `json:"nearer_a"` // share of the trips on which A was nearer; the rest but NearerA and NearerB are ties
	NearerB Number `json:"nearer_b"`

	// Difference is the mean of A's absolute error less B's: below 0, A is better.
	// Low and High are the bounds of its 95 % interval.
	Difference Number `json:"difference"`
	Low        Number `json:"low"`
	High       Number `json:"high"`

	Lags      int    `json:"lags"`      // of the variance
	Statistic Number `json:"statistic"` // Difference by its standard error
	P         Number `json:"p"`         // of a difference as large by chance, two-sided

	// Verdict is all that in one line for people.
	Verdict string `json:"verdict"`
}

const (
	fewestCompared = 30
	significant    = 0.05
	normal975      = 1.959963984540054 // of the standard normal distribution
)

// Compare tests whether the errors of two models differ. Where there is too
// little to test, interval, statistic and p are NaN and the verdict says why.
func (r *Report) Compare(a, b string) (*Comparison, error) {
	modelA, err := r.find(a)
	if err != nil {
		return nil, err
	}
	modelB, err := r.find(b)
	if err != nil {
		return nil, err
	}
	if a == b {
		return nil, fmt.Errorf("backtest: %s is to be compared with itself", a)
	}
	c := &Comparison{A: a, B: b}
	c.test(r.differences(c, modelA, modelB))
	return c, nil
}

// differences returns how much further off A was than B, trip by trip, and
// fills in what can be said without a test.
func (r *Report) differences(c *Comparison, a, b *Model) []float64 {
	var maeA, maeB metrics.MAE
	var differences []float64
	nearerA, nearerB := 0, 0
	for _, n := range r.order {
		y, pa, pb := r.labels[n], a.predicted[n], b.predicted[n]
		if !maeA.Counts(y, pa) || !maeB.Counts(y, pb) {
			continue
		}
		maeA.Update(y, pa)
		maeB.Update(y, pb)
		d := math.Abs(y-pa) - math.Abs(y-pb)
		switch differences = append(differences, d); {
		case d < 0:
			nearerA++
		case d > 0:
			nearerB++
		}
	}
	c.Trips = len(differences)
	c.MAEA, c.MAEB = notANumber, notANumber
	c.NearerA, c.NearerB = notANumber, notANumber
	if c.Trips > 0 {
		trips := Number(c.Trips)
		c.MAEA, c.MAEB = Number(maeA.Get()), Number(maeB.Get())
		c.NearerA, c.NearerB = Number(nearerA)/trips, Number(nearerB)/trips
	}
	return differences
}

var notANumber = Number(math.NaN())

func (c *Comparison) test(differences []float64) {
	c.Difference, c.Low, c.High, c.Statistic, c.P = notANumber, notANumber, notANumber, notANumber, notANumber
	if len(differences) == 0 {
		c.Verdict = fmt.Sprintf("there is no trip that both %s and %s answered", c.A, c.B)
		return
	}
	mean := meanOf(differences)
	c.Difference = Number(mean)
	if len(differences) < fewestCompared {
		c.Verdict = fmt.Sprintf("too few trips to tell: %s and %s both answered %d, and it takes %d", c.A, c.B, c.Trips, fewestCompared)
		return
	}
	c.Lags = lags(len(differences))
	deviation := math.Sqrt(neweyWest(differences, mean, c.Lags))
	// What is left of equal differences is the rounding of their mean.
	if !(deviation > 1e-12*math.Abs(mean)) {
		c.Verdict = c.alwaysTheSame()
		return
	}
	c.Statistic = Number(mean / deviation)
	c.P = twoSided(mean / deviation)
	margin := float64(normal975 * deviation)
	c.Low, c.High = Number(mean-margin), Number(mean+margin)
	c.Verdict = c.judge()
}

// twoSided is the probability that a normal variable is as far from 0. It has
// the digits that are the same on every processor.
func twoSided(statistic float64) Number {
	p := math.Erfc(math.Abs(statistic) / math.Sqrt2)
	p, err := strconv.ParseFloat(strconv.FormatFloat(p, 'g', 9, 64), 64)
	if err != nil {
		return notANumber
	}
	return Number(p)
}

func meanOf(values []float64) float64 {
	sum := 0.0
	for _, v := range values {
		sum += v
	}
	return sum / float64(len(values))
}

// lags is how far apart two of n trips may be and still be said to have to do
// with each other.
func lags(n int) int {
	const exact = 1e-9 // what a power that is a whole number may be short of
	return int(float64(4*math.Pow(float64(n)/100, 2./9)) + exact)
}

// neweyWest is the variance of the mean of a series, in which neighbours may be
// correlated: its autocovariances with the weights of Bartlett.
func neweyWest(values []float64, mean float64, lags int) float64 {
	n := len(values)
	sum := 0.0
	for lag := range min(lags+1, n) {
		covariance := 0.0
		for i := lag; i < n; i++ {
			covariance += float64((values[i] - mean) * (values[i-lag] - mean))
		}
		weight := 1.0
		if lag > 0 {
			weight = 2 * (1 - float64(lag)/float64(lags+1))
		}
		sum += float64(weight * covariance)
	}
	return sum / float64(n) / float64(n)
}

// alwaysTheSame is the verdict on differences that do not vary.
func (c *Comparison) alwaysTheSame() string {
	better, worse, by := c.better()
	if by == 0 {
		return fmt.Sprintf("%s and %s are off by the same on every trip", c.A, c.B)
	}
	return fmt.Sprintf("%s is better than %s by %s s on every trip: what does not vary cannot be tested", better, worse, readable(by))
}

func (c *Comparison) judge() string {
	better, worse, by := c.better()
	low, high := -c.High, -c.Low
	if better == c.B {
		low, high = c.Low, c.High
	}
	between := fmt.Sprintf("%s s a trip (95 %%: %s to %s)", readable(by), readable(low), readable(high))
	if c.P < significant {
		return fmt.Sprintf("%s is better than %s by %s; a difference this large by chance: %s", better, worse, between, probability(c.P))
	}
	return fmt.Sprintf("no difference that one could rely on: %s is better than %s by %s; a difference this large by chance: %s",
		better, worse, between, probability(c.P))
}

func (c *Comparison) better() (better, worse string, by Number) {
	if c.Difference > 0 {
		return c.B, c.A, c.Difference
	}
	return c.A, c.B, -c.Difference
}

// readable has a decimal, unless that is one of more digits than one can read.
func readable(v Number) string {
	if math.Abs(float64(v)) >= 1e5 {
		return fmt.Sprintf("%.3g", float64(v))
	}
	text := figure(v, 1)
	if text == "-0.0" {
		return "0.0"
	}
	return text
}

func probability(p Number) string {
	if p < 1e-4 {
		return "p < 0.0001"
	}
	return fmt.Sprintf("p = %.4f", float64(p))
}

package preprocess

import (
	"slices"
	"strings"

	"tripcast.dev/functions/online"
)

// maxPolynomial bounds how many features a catalogue may make of a few.
const maxPolynomial = 512

// PolynomialConfig are the parameters of a PolynomialExtender, with River's
// names and defaults.
type PolynomialConfig struct {
	Degree          int  // how many features are multiplied at most, at least 1
	InteractionOnly bool // a feature is not multiplied by itself
	IncludeBias     bool // a last feature that is always 1
}

// DefaultPolynomialConfig returns River's defaults.
func DefaultPolynomialConfig() PolynomialConfig { return PolynomialConfig{Degree: 2} }

// PolynomialExtender gives, besides the features themselves, their products, so
// that a linear model can learn what two of them mean together. It is
// river/feature_extraction/poly.py: first the features, then the products of
// two, and so on, each in the order of the features, and the bias at the end. A
// product is missing where one of its factors is, or where it is not finite. It
// has nothing to learn.
type PolynomialExtender struct {
	stateless
	config PolynomialConfig
	terms  []term // those of two factors and more
	bias   bool
}

// term is a product: of what another feature that it gives is, and one it takes.
type term struct{ rest, factor int }

var (
	_ online.Transformer = (*PolynomialExtender)(nil)
	_ online.Namer       = (*PolynomialExtender)(nil)
)

// NewPolynomialExtender returns an extender of vectors of this width. What it
// gives grows with the width to the power of the degree.
func NewPolynomialExtender(width int, config PolynomialConfig) *PolynomialExtender {
	e := &PolynomialExtender{config: config, bias: config.IncludeBias}
	// A term goes on with the factor of its last one, or with the next one.
	last := make([]int, width) // factor of each feature that is given
	for i := range last {
		last[i] = i
	}
	for from, degree := 0, 2; degree <= config.Degree; degree++ {
		end := len(last)
		for t := from; t < end; t++ {
			first := last[t]
			if config.InteractionOnly {
				first++
			}
			for factor := first; factor < width; factor++ {
				e.terms = append(e.terms, term{t, factor})
				last = append(last, factor)
			}
		}
		from = end
	}
	out := len(last)
	if e.bias {
		out++
	}
	e.stateless = stateless{"PolynomialExtender", width, out}
	return e
}

// PolynomialExtenderKind builds a PolynomialExtender from a catalogue, of at
// most 512 features. Parameters: degree, interaction_only and include_bias.
func PolynomialExtenderKind(p *online.Params) online.Transformer {
	c := DefaultPolynomialConfig()
	c.Degree = p.Int("degree", c.Degree, online.AtLeast(1), online.AtMost(5))
	c.InteractionOnly = p.Bool("interaction_only", c.InteractionOnly)
	c.IncludeBias = p.Bool("include_bias", c.IncludeBias)
	if n := polynomialWidth(p.Width(), c); n > maxPolynomial {
		p.Fail("degree", "makes more than %d features of %d", maxPolynomial, p.Width())
		c.Degree = 1
	}
	return NewPolynomialExtender(p.Width(), c)
}

// polynomialWidth is how many features there will be, or more than maxPolynomial.
func polynomialWidth(width int, c PolynomialConfig) int {
	total, products := 0, 1
	for k := 1; k <= c.Degree && total <= maxPolynomial; k++ {
		if c.InteractionOnly {
			products = products * max(width-k+1, 0) / k
		} else {
			products = products * (width + k - 1) / k
		}
		total += products
	}
	if c.IncludeBias {
		total++
	}
	return total
}

// Names are River's: the factors in the order of their names, as in a*b, and bias.
func (e *PolynomialExtender) Names(in []string) []string {
	factors := make([][]string, 0, e.out)
	for _, name := range in {
		factors = append(factors, []string{name})
	}
	for _, t := range e.terms {
		factors = append(factors, append(slices.Clone(factors[t.rest]), in[t.factor]))
	}
	out := make([]string, 0, e.out)
	for _, f := range factors {
		slices.Sort(f)
		out = append(out, strings.Join(f, "*"))
	}
	if e.bias {
		out = append(out, "bias")
	}
	return out
}

// Transform appends the features and their products.
func (e *PolynomialExtender) Transform(dst, x []float64) []float64 {
	from := len(dst)
	for _, xi := range x {
		dst = append(dst, finiteOrMissing(xi))
	}
	for _, t := range e.terms {
		dst = append(dst, finiteOrMissing(float64(dst[from+t.rest]*dst[from+t.factor])))
	}
	if e.bias {
		dst = append(dst, 1)
	}
	return dst
}

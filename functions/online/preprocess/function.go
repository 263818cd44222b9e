package preprocess

import (
	"math"
	"slices"

	"tripcast.dev/functions/online"
	"tripcast.dev/functions/online/internal/libm"
)

// Function is what a FunctionTransformer applies to a feature.
type Function int

const (
	// Log1p is the logarithm of 1+x, for what matters by its ratio: distances, speeds.
	Log1p Function = iota
	// Sqrt is the square root.
	Sqrt
	// Abs is the absolute value.
	Abs
)

// functions are the names a catalogue has for them, in their order.
var functions = []string{"log1p", "sqrt", "abs"}

func (f Function) apply(x float64) float64 {
	switch f {
	case Sqrt:
		return math.Sqrt(x)
	case Abs:
		return math.Abs(x)
	default:
		return libm.Log1p(x)
	}
}

// FunctionTransformer puts a function of a feature in its place, as River's
// compose.FuncTransformer does for functions of one's own. A feature becomes
// missing where the function has no finite value.
type FunctionTransformer struct {
	stateless
	function Function
	columns  []int
}

var (
	_ online.Transformer = (*FunctionTransformer)(nil)
	_ online.Namer       = (*FunctionTransformer)(nil)
)

// NewFunctionTransformer returns a transformer of these columns of vectors of
// this width. Columns that there are not are not transformed.
func NewFunctionTransformer(width int, function Function, columns []int) *FunctionTransformer {
	return &FunctionTransformer{stateless{"FunctionTransformer", width, width}, function, within(columns, width)}
}

// FunctionTransformerKind builds a FunctionTransformer from a catalogue.
// Parameters: function, which is log1p, sqrt or abs, and features, a list of names.
func FunctionTransformerKind(p *online.Params) online.Transformer {
	name := p.Choice("function", functions[0], functions[1:]...)
	return NewFunctionTransformer(p.Width(), Function(slices.Index(functions, name)), columns(p))
}

// Names are those of the features with the function's around them: log1p(distance).
func (t *FunctionTransformer) Names(in []string) []string {
	out := slices.Clone(in)
	for _, c := range t.columns {
		out[c] = functions[t.function] + "(" + in[c] + ")"
	}
	return out
}

// Transform appends x with the function applied.
func (t *FunctionTransformer) Transform(dst, x []float64) []float64 {
	from := len(dst)
	for _, xi := range x {
		dst = append(dst, finiteOrMissing(xi))
	}
	for _, c := range t.columns {
		dst[from+c] = finiteOrMissing(t.function.apply(dst[from+c]))
	}
	return dst
}

// columns reads the parameter features.
func columns(p *online.Params) []int {
	var columns []int
	for _, name := range p.Texts("features", p.Features()) {
		columns = append(columns, slices.Index(p.Features(), name))
	}
	return columns
}

func within(columns []int, width int) []int {
	return slices.DeleteFunc(slices.Clone(columns), func(c int) bool { return c < 0 || c >= width })
}

func finiteOrMissing(x float64) float64 {
	if libm.Finite(x) {
		return x
	}
	return math.NaN()
}

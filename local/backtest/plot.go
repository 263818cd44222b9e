package backtest

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// chart is what is to be drawn: a line for each model, over places from left to
// right.
type chart struct {
	title, xLabel string
	at            []float64 // of the places, rising; one more than the last is a gap
	ticks         []xTick
	lines         []values
}

// xTick names a place.
type xTick struct {
	at    float64
	label string
}

// values are a model's errors, NaN where there is none.
type values struct {
	name   string
	style  style
	errors []float64 // by place
}

// style tells 32 lines apart: 8 colours that also the colour-blind can tell from
// each other, and 4 dashes.
type style struct{ Colour, Dash int }

func styleOf(i int) style { return style{Colour: i % 8, Dash: (i + i/8) % 4} }

// plot is a drawn chart: numbers of an SVG.
type plot struct {
	ID, Title, Description string
	Width, Height          float64
	Left, Right, Bottom    float64 // of the space for lines
	XTicks                 []tick
	XLabel                 string
	Panels                 []panel
}

// panel is a part of a plot with an axis of its own for the errors.
type panel struct {
	Top, Bottom float64
	Note        string
	YTicks      []tick
	Lines       []line
}

type tick struct {
	At    float64
	Label string
}

type line struct {
	Name, Path string
	style
	Dots []point
	End  point // of the line

	Labelled bool  // there is room for its name
	From, To point // of the stroke that leads there
	Label    point // left and middle of the name
}

type point struct{ X, Y float64 }

// Sizes in the units of the SVG, which are pixels where the page is wide.
const (
	plotWidth   = 960
	marginLeft  = 84
	marginRight = 196
	marginTop   = 12
	axisHeight  = 46
	nearHeight  = 300
	farHeight   = 120
	panelGap    = 30
	labelHeight = 16
	labelLength = 22 // runes
)

// farOff is how many times the least error of all a model has to be off, at its
// worst, to be drawn apart, so that the lines of the others are not flattened.
const farOff = 100

func (c chart) draw(id string) plot {
	p := plot{
		ID: id, Title: c.title, XLabel: c.xLabel, Description: c.describe(),
		Width: plotWidth, Left: marginLeft, Right: plotWidth - marginRight,
	}
	top := float64(marginTop)
	near, far := split(c.lines)
	if len(far) > 0 {
		height := float64(farHeight)
		if len(near) == 0 {
			height = nearHeight
		}
		p.Panels = append(p.Panels, c.panel(p, far, top, top+height))
		top += height + panelGap
		if len(near) > 0 {
			p.Panels[0].Note = "much further off, by an axis of their own"
		}
	}
	if len(near) > 0 {
		p.Panels = append(p.Panels, c.panel(p, near, top, top+nearHeight))
	}
	if len(p.Panels) > 0 {
		p.Bottom = p.Panels[len(p.Panels)-1].Bottom
	}
	p.Height = p.Bottom + axisHeight
	for _, t := range c.ticks {
		p.XTicks = append(p.XTicks, tick{At: c.x(p, t.at), Label: t.label})
	}
	return p
}

// split parts the models of which a line would be flat beside another's from
// the others. One that is near at times stays with those that always are far.
func split(lines []values) (near, far []values) {
	least := math.Inf(1)
	for _, l := range lines {
		low, _ := rangeOf(l.errors)
		least = math.Min(least, low)
	}
	for _, l := range lines {
		if _, high := rangeOf(l.errors); high > farOff*math.Max(least, 1) {
			far = append(far, l)
		} else if !math.IsInf(high, -1) {
			near = append(near, l)
		}
	}
	return near, far
}

// rangeOf ignores NaN. Of nothing, the lowest is above the highest.
func rangeOf(errors []float64) (low, high float64) {
	low, high = math.Inf(1), math.Inf(-1)
	for _, v := range errors {
		if !math.IsNaN(v) {
			low, high = math.Min(low, v), math.Max(high, v)
		}
	}
	return low, high
}

// describe says in words what the lines show.
func (c chart) describe() string {
	var parts []string
	for _, l := range c.lines {
		if low, high := rangeOf(l.errors); low <= high {
			parts = append(parts, fmt.Sprintf("%s from %s to %s s", l.name, figure(Number(low), 0), figure(Number(high), 0)))
		}
	}
	if len(parts) == 0 {
		return "No errors to show."
	}
	return "Mean absolute error. " + strings.Join(parts, "; ") + "."
}

// x is where a place is. A single one is in the middle.
func (c chart) x(p plot, at float64) float64 {
	first, last := c.at[0], c.at[len(c.at)-1]
	const inset = 8
	if first == last {
		return tenths((p.Left + p.Right) / 2)
	}
	return tenths(p.Left + inset + (at-first)/(last-first)*(p.Right-p.Left-2*inset))
}

func (c chart) panel(p plot, lines []values, top, bottom float64) panel {
	low, high := math.Inf(1), math.Inf(-1)
	for _, l := range lines {
		a, b := rangeOf(l.errors)
		low, high = math.Min(low, a), math.Max(high, b)
	}
	scale := newScale(low, high, top, bottom)
	drawn := panel{Top: top, Bottom: bottom, YTicks: scale.ticks()}
	for _, l := range lines {
		drawn.Lines = append(drawn.Lines, c.line(p, l, scale))
	}
	label(drawn.Lines, p.Right, top, bottom)
	return drawn
}

// line breaks where there is nothing. What stands alone is a dot.
func (c chart) line(p plot, v values, s scale) line {
	drawn := line{Name: shortened(v.name), style: v.style}
	var path strings.Builder
	alone := func(i int) bool {
		return (i == 0 || math.IsNaN(v.errors[i-1]) || c.gap(i)) && (i+1 == len(v.errors) || math.IsNaN(v.errors[i+1]) || c.gap(i+1))
	}
	for i, y := range v.errors {
		if math.IsNaN(y) {
			continue
		}
		at := point{c.x(p, c.at[i]), s.y(y)}
		command := "L"
		if i == 0 || math.IsNaN(v.errors[i-1]) || c.gap(i) {
			command = "M"
		}
		if alone(i) || len(v.errors) <= len(fromKM) {
			drawn.Dots = append(drawn.Dots, at)
		}
		fmt.Fprintf(&path, "%s%v %v", command, at.X, at.Y)
		drawn.End = at
	}
	drawn.Path = path.String()
	return drawn
}

// gap reports whether there is one ahead of a place.
func (c chart) gap(i int) bool { return c.at[i]-c.at[i-1] > 1.5 }

// label puts the names of the lines beside their ends, none over another. Where
// there are too many, the last models have none.
func label(lines []line, right, top, bottom float64) {
	order := make([]*line, 0, len(lines))
	for i := range lines {
		if len(order) < int((bottom-top)/labelHeight) {
			order = append(order, &lines[i])
		}
	}
	slices.SortStableFunc(order, func(a, b *line) int { return cmp.Compare(a.End.Y, b.End.Y) })
	below := top - labelHeight/2.
	for i, l := range order {
		// Neither over the one above nor so low that those below have no room.
		lowest := bottom - float64(len(order)-1-i)*labelHeight
		below = math.Min(math.Max(l.End.Y, below+labelHeight), lowest)
		l.Label = point{right + 30, tenths(below)}
		l.From, l.To = point{l.End.X + 3, l.End.Y}, point{right + 26, l.Label.Y}
		l.Labelled = true
	}
}

// shortened is a name that fits beside the lines.
func shortened(name string) string {
	if runes := []rune(name); len(runes) > labelLength {
		return string(runes[:labelLength-1]) + "…"
	}
	return name
}

// scale puts errors on an axis: of their logarithms, where they span more than
// two orders of magnitude.
type scale struct {
	low, high   float64
	top, bottom float64
	log         bool
	step        float64
}

func newScale(low, high, top, bottom float64) scale {
	s := scale{top: top, bottom: bottom, low: low, high: high}
	if high == low { // a line that is flat
		s.low, s.high = 0, math.Max(2*high, 1)
	}
	if low > 0 && high/low > 100 {
		s.log = true
		s.low, s.high = math.Pow10(int(math.Floor(math.Log10(low)))), math.Pow10(int(math.Ceil(math.Log10(high))))
		return s
	}
	if low < high/2 {
		s.low = 0 // an axis that starts elsewhere is for lines that are close
	}
	s.step = niceStep((s.high - s.low) / (1 + math.Floor((bottom-top)/60)))
	s.low, s.high = math.Floor(s.low/s.step)*s.step, math.Ceil(s.high/s.step)*s.step
	return s
}

// niceStep is the least of 1, 2 and 5 times a power of ten that is not below.
func niceStep(least float64) float64 {
	power := math.Pow10(int(math.Floor(math.Log10(least))))
	for _, times := range []float64{1, 2, 5} {
		if times*power >= least {
			return times * power
		}
	}
	return 10 * power
}

func (s scale) y(v float64) float64 {
	share := (v - s.low) / (s.high - s.low)
	if s.log {
		share = (math.Log10(v) - math.Log10(s.low)) / (math.Log10(s.high) - math.Log10(s.low))
	}
	return tenths(s.bottom - share*(s.bottom-s.top))
}

func (s scale) ticks() []tick {
	var ticks []tick
	if !s.log {
		for i := range int(math.Round((s.high-s.low)/s.step)) + 1 {
			v := s.low + float64(i)*s.step
			ticks = append(ticks, tick{s.y(v), axisLabel(v, s.step)})
		}
		return ticks
	}
	first, last := int(math.Round(math.Log10(s.low))), int(math.Round(math.Log10(s.high)))
	every := max(1, int(math.Ceil(float64(last-first)/5)))
	for power := first; power <= last; power += every {
		ticks = append(ticks, tick{s.y(math.Pow10(power)), logLabel(power)})
	}
	return ticks
}

// axisLabel has as many decimals as the step between two takes.
func axisLabel(v, step float64) string {
	switch {
	case v >= 1e6:
		digits, power, _ := strings.Cut(strconv.FormatFloat(v, 'e', 2, 64), "e")
		exponent, _ := strconv.Atoi(power)
		return strings.TrimSuffix(strings.TrimRight(digits, "0"), ".") + "×" + powerOfTen(exponent)
	case step < 1:
		return strconv.FormatFloat(v, 'f', int(math.Ceil(-math.Log10(step))), 64)
	}
	return grouped(strconv.FormatFloat(v, 'f', 0, 64))
}

func logLabel(power int) string {
	if power >= 0 && power <= 3 {
		return axisLabel(math.Pow10(power), 1)
	}
	return powerOfTen(power)
}

func powerOfTen(power int) string {
	raised := strings.NewReplacer("0", "⁰", "1", "¹", "2", "²", "3", "³", "4", "⁴", "5", "⁵", "6", "⁶", "7", "⁷", "8", "⁸", "9", "⁹", "-", "⁻")
	return "10" + raised.Replace(strconv.Itoa(power))
}

// tenths rounds to what an eye can see.
func tenths(v float64) float64 { return math.Round(v*10) / 10 }

package backtest

import (
	"fmt"
	"math"
	"strings"
	"testing"
)

func drawn(lines ...values) plot {
	c := chart{title: "t", xLabel: "x", lines: lines}
	for i := range lines[0].errors {
		c.at = append(c.at, float64(i))
	}
	return c.draw("t")
}

func TestScale(t *testing.T) {
	for _, tt := range []struct {
		low, high float64
		want      string
	}{
		{300, 590, "300 s..600"},
		{130, 860, "0 .. 1,000"},
		{0.2, 0.9, "0.0 .. 1.0"},
		{100, 100, "0 .. 200"},
		{0, 0, "0.0 .. 1.0"},
		{3e8, 9e8, "0 .. 1×10⁹"},
		{300, 3e9, "100 .. 10¹⁰"},
		{0.002, 1, "10⁻³ .. 1"},
		{0, 1e60, "0 .. 1×10⁶⁰"},
	} {
		s := newScale(tt.low, tt.high, 0, 300)
		ticks := s.ticks()
		got := ticks[0].Label + " .. " + ticks[len(ticks)-1].Label
		if want := strings.ReplaceAll(tt.want, " s..", " .. "); got != want {
			t.Errorf("%v to %v: an axis of %s, want %s", tt.low, tt.high, got, want)
		}
		if len(ticks) < 3 || len(ticks) > 12 {
			t.Errorf("%v to %v: %d ticks", tt.low, tt.high, len(ticks))
		}
		for _, v := range []float64{tt.low, tt.high} {
			if y := s.y(v); !(y >= 0 && y <= 300) {
				t.Errorf("%v of %v to %v is at %v, want it on the axis", v, tt.low, tt.high, y)
			}
		}
	}
}

// A model that diverges is drawn apart, and the others are not flattened.
func TestFarOffIsDrawnApart(t *testing.T) {
	near, also := values{name: "near", errors: []float64{200, 300, 250}}, values{name: "also", errors: []float64{400, 500, 300}}
	far := values{name: "far", errors: []float64{500, 4e8, 9e9}}
	p := drawn(far, near, also)
	if len(p.Panels) != 2 || len(p.Panels[0].Lines) != 1 || p.Panels[0].Lines[0].Name != "far" || len(p.Panels[1].Lines) != 2 {
		t.Fatalf("%d panels: %+v", len(p.Panels), p.Panels)
	}
	if ticks := p.Panels[0].YTicks; ticks[len(ticks)-1].Label != "10¹⁰" {
		t.Errorf("its axis ends at %s", ticks[len(ticks)-1].Label)
	}
	// It has an axis of logarithms: from 4e8 to 9e9 is not far.
	if l := p.Panels[0].Lines[0]; !strings.HasPrefix(l.Path, "M") || l.End.Y > p.Panels[0].Top+30 {
		t.Errorf("its line is %s", l.Path)
	}
	if p := drawn(near, also); len(p.Panels) != 1 {
		t.Errorf("%d panels of models that are all near", len(p.Panels))
	}
	if p := drawn(far); len(p.Panels) != 1 || p.Panels[0].Note != "" {
		t.Errorf("one that is far alone: %+v", p.Panels)
	}
}

func TestLinesBreak(t *testing.T) {
	nan := math.NaN()
	l := drawn(values{errors: []float64{1, 2, nan, 3, nan, 4, 5, 6}}).Panels[0].Lines[0]
	if m, n := strings.Count(l.Path, "M"), strings.Count(l.Path, "L"); m != 3 || n != 3 || len(l.Dots) != 1 {
		t.Errorf("%d beginnings, %d strokes, %d dots: %s", m, n, len(l.Dots), l.Path)
	}
	c := chart{at: []float64{0, 1, 5, 6, 9}, lines: []values{{errors: []float64{1, 1, 1, 1, 1}}}}
	if l := c.draw("t").Panels[0].Lines[0]; strings.Count(l.Path, "M") != 3 {
		t.Errorf("a line over gaps: %s", l.Path)
	}
}

func TestLabelsDoNotOverlap(t *testing.T) {
	var lines []values
	for i := range plotted {
		lines = append(lines, values{name: fmt.Sprint(i), errors: []float64{500, 100 + float64(i%3)}})
	}
	panel := drawn(lines...).Panels[0]
	ys := map[float64]string{}
	for _, l := range panel.Lines {
		if !l.Labelled {
			t.Errorf("%s has no label", l.Name)
		}
		for y, other := range ys {
			if math.Abs(y-l.Label.Y) < labelHeight-0.1 {
				t.Errorf("the labels of %s and %s are at %v and %v", l.Name, other, l.Label.Y, y)
			}
		}
		if l.Label.Y < panel.Top || l.Label.Y > panel.Bottom {
			t.Errorf("the label of %s is at %v, outside of %v to %v", l.Name, l.Label.Y, panel.Top, panel.Bottom)
		}
		ys[l.Label.Y] = l.Name
	}
}

func TestStylesDiffer(t *testing.T) {
	seen := map[style]int{}
	for i := range 32 {
		if other, ok := seen[styleOf(i)]; ok {
			t.Errorf("lines %d and %d look the same", other, i)
		}
		seen[styleOf(i)] = i
	}
}

func TestFigures(t *testing.T) {
	for v, want := range map[Number]string{
		0: "0.0", 3184.34: "3,184.3", -192.88: "−192.9", 999.96: "1,000.0", -1234567.8: "−1,234,567.8", 8.75e7: "8.75×10⁷",
		-2.35e12: "−2.35×10¹²", notANumber: "–", Number(math.Inf(1)): "–",
	} {
		if got := shown(v, 1); got != want {
			t.Errorf("%v is shown as %q, want %q", v, got, want)
		}
	}
	for n, want := range map[int]string{0: "0", 999: "999", 1000: "1,000", 58894: "58,894", 1234567: "1,234,567"} {
		if got := count(n); got != want {
			t.Errorf("%d is %q, want %q", n, got, want)
		}
	}
}

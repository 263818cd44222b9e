package backtest

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

//go:embed report.html
var page string

// plotted is how many models are drawn. All are in the tables.
const plotted = 12

// WriteHTML writes the report as one page that asks for nothing else and needs
// no script.
func (r *Report) WriteHTML(w io.Writer) error {
	t, err := template.New("report").Funcs(template.FuncMap{
		"shown": shown, "count": count, "day": day, "probability": probability, "percent": percent,
		"bytes": byteSize, "style": styleOf, "inc": func(i int) int { return i + 1 },
	}).Parse(page)
	if err != nil {
		return fmt.Errorf("backtest: the report's template: %w", err)
	}
	if err := t.Execute(w, r.view()); err != nil {
		return fmt.Errorf("backtest: write the report: %w", err)
	}
	return nil
}

// view is a report as its page shows it.
type view struct {
	*Report
	Best      *Model // nil if nothing was judged
	Runner    *Model // the next best, if there is one
	Plots     []plot
	Unplotted int
	Tables    []segmentTable
	Lags      int // of the comparisons
}

// segmentTable is the errors of every model by the parts of a division.
type segmentTable struct {
	Caption, Column string
	Parts           []string
	Rows            []segmentRow
}

type segmentRow struct {
	Rank   int
	Name   string
	Errors []Number // by part, NaN where there is none
}

func (r *Report) view() view {
	v := view{Report: r, Unplotted: max(0, len(r.Models)-plotted)}
	for i := range r.Models {
		switch m := &r.Models[i]; {
		case m.Error != "" || !m.MAE.finite():
		case v.Best == nil:
			v.Best = m
		case v.Runner == nil:
			v.Runner = m
		}
	}
	if v.Best != nil {
		v.Plots = []plot{r.overTime().draw("time"), r.byHour().draw("hour")}
		if r.any(func(m Model) []Segment { return m.Segments.FromKM }) {
			v.Plots = append(v.Plots, r.byDistance().draw("distance"))
		}
	}
	v.Tables = r.tables()
	for _, c := range r.Comparisons {
		v.Lags = max(v.Lags, c.Lags)
	}
	return v
}

func (r *Report) any(of func(Model) []Segment) bool {
	return slices.ContainsFunc(r.Models, func(m Model) bool { return len(of(m)) > 0 })
}

// shown are the models that are drawn.
func (r *Report) shown() []Model { return r.Models[:min(len(r.Models), plotted)] }

func (r *Report) overTime() chart {
	period := time.Duration(float64(r.PeriodS) * float64(time.Second))
	var starts []time.Time
	for _, m := range r.shown() {
		for _, i := range m.Over {
			starts = append(starts, i.Start)
		}
	}
	slices.SortFunc(starts, time.Time.Compare)
	starts = slices.CompactFunc(starts, time.Time.Equal)
	c := chart{title: "Error over time", xLabel: "when the trips started, " + span(starts[0], starts[len(starts)-1], period)}
	at := map[int64]int{}
	for i, start := range starts {
		c.at = append(c.at, float64(start.Sub(starts[0]))/float64(period))
		at[start.UnixNano()] = i
	}
	c.ticks = timeTicks(starts[0], starts[len(starts)-1], period)
	for i, m := range r.shown() {
		line := values{name: m.Name, style: styleOf(i), errors: nothing(len(starts))}
		for _, interval := range m.Over {
			line.errors[at[interval.Start.UnixNano()]] = float64(interval.MAE)
		}
		c.lines = append(c.lines, line)
	}
	return c
}

// timeTicks names not more than some ten periods.
func timeTicks(first, last time.Time, period time.Duration) []xTick {
	layout, steps := "2 Jan", []int{1, 2, 3, 7, 14, 28, 91, 182, 364}
	if period < 24*time.Hour {
		layout = "2 Jan 15:04"
		steps = []int{1, 2, 3, 6, 12, 24, 48, 96}
	}
	periods := int(last.Sub(first) / period)
	step := periods/8 + 1
	if i := slices.IndexFunc(steps, func(s int) bool { return s >= step }); i >= 0 {
		step = steps[i]
	}
	var ticks []xTick
	for i := 0; i <= periods; i += step {
		ticks = append(ticks, xTick{float64(i), first.Add(time.Duration(i) * period).Format(layout)})
	}
	return ticks
}

func span(first, last time.Time, period time.Duration) string {
	each := "by " + strings.TrimSuffix(strings.TrimSuffix(period.String(), "0s"), "0m")
	switch period {
	case 24 * time.Hour:
		each = "by day"
	case time.Hour:
		each = "by hour"
	}
	if first.Year() == last.Year() {
		return fmt.Sprintf("%s of %d", each, first.Year())
	}
	return fmt.Sprintf("%s of %d to %d", each, first.Year(), last.Year())
}

func (r *Report) byHour() chart {
	c := chart{title: "Error by hour of the day", xLabel: "hour of the pick-up"}
	for hour := range 24 {
		c.at = append(c.at, float64(hour))
		if hour%3 == 0 {
			c.ticks = append(c.ticks, xTick{float64(hour), fmt.Sprintf("%02d:00", hour)})
		}
	}
	c.lines = r.lines(24, func(m Model) []Segment { return m.Segments.Hour })
	return c
}

func (r *Report) byDistance() chart {
	c := chart{title: "Error by distance", xLabel: "kilometres as the crow flies"}
	for i, name := range distanceNames() {
		c.at = append(c.at, float64(i))
		c.ticks = append(c.ticks, xTick{float64(i), name})
	}
	c.lines = r.lines(len(fromKM), func(m Model) []Segment { return m.Segments.FromKM })
	return c
}

// distanceNames name the classes of fromKM by both bounds.
func distanceNames() []string {
	names := make([]string, len(fromKM))
	for i, from := range fromKM {
		if i+1 < len(fromKM) {
			names[i] = fmt.Sprintf("%v–%v", from, fromKM[i+1])
		} else {
			names[i] = fmt.Sprintf("%v+", from)
		}
	}
	return names
}

func (r *Report) lines(parts int, of func(Model) []Segment) []values {
	var lines []values
	for i, m := range r.shown() {
		line := values{name: m.Name, style: styleOf(i), errors: nothing(parts)}
		for _, s := range of(m) {
			line.errors[s.index] = float64(s.MAE)
		}
		lines = append(lines, line)
	}
	return lines
}

func nothing(n int) []float64 {
	v := make([]float64, n)
	for i := range v {
		v[i] = math.NaN()
	}
	return v
}

func (r *Report) tables() []segmentTable {
	var hours []string
	for hour := range 24 {
		hours = append(hours, strconv.Itoa(hour))
	}
	tables := []segmentTable{
		r.table("Mean absolute error by weekday and weekend, in seconds", "", []string{"weekday", "weekend"}, func(m Model) []Segment { return m.Segments.Day }),
		r.table("Mean absolute error by distance, in seconds", "km", distanceNames(), func(m Model) []Segment { return m.Segments.FromKM }),
		r.table("Mean absolute error by hour of the pick-up, in seconds", "h", hours, func(m Model) []Segment { return m.Segments.Hour }),
	}
	return slices.DeleteFunc(tables, func(t segmentTable) bool { return len(t.Parts) == 0 })
}

// table leaves out parts of which no model has anything.
func (r *Report) table(caption, column string, names []string, of func(Model) []Segment) segmentTable {
	t := segmentTable{Caption: caption, Column: column}
	var parts []int
	for i, name := range names {
		if r.any(func(m Model) []Segment {
			return slices.DeleteFunc(slices.Clone(of(m)), func(s Segment) bool { return s.index != i })
		}) {
			parts = append(parts, i)
			t.Parts = append(t.Parts, name)
		}
	}
	for rank, m := range r.Models {
		row := segmentRow{Rank: rank, Name: m.Name}
		for _, part := range parts {
			mae := notANumber
			if i := slices.IndexFunc(of(m), func(s Segment) bool { return s.index == part }); i >= 0 {
				mae = of(m)[i].MAE
			}
			row.Errors = append(row.Errors, mae)
		}
		t.Rows = append(t.Rows, row)
	}
	return t
}

// count has commas: 58,894.
func count(n int) string { return grouped(strconv.Itoa(n)) }

// grouped puts commas into a number's digits before the point.
func grouped(text string) string {
	whole, rest, point := strings.Cut(text, ".")
	for i := len(whole) - 3; i > 0 && whole[i-1] != '-'; i -= 3 {
		whole = whole[:i] + "," + whole[i:]
	}
	if point {
		whole += "." + rest
	}
	return whole
}

// shown is figure in the signs of print: 3,184.3, −0.5, 8.75×10⁷.
func shown(v Number, decimals int) string {
	if !v.finite() {
		return "–"
	}
	text := figure(v, decimals)
	if digits, power, ok := strings.Cut(text, "e+"); ok {
		exponent, _ := strconv.Atoi(power)
		text = digits + "×" + powerOfTen(exponent)
	} else {
		text = grouped(text)
	}
	return strings.Replace(text, "-", "−", 1)
}

func day(t time.Time) string { return t.Format("2 January 2006, 15:04") }

func percent(share Number) string {
	if !share.finite() {
		return "–"
	}
	return fmt.Sprintf("%.1f %%", 100*float64(share))
}

func byteSize(n int) string {
	switch {
	case n < 10_000:
		return count(n) + " B"
	case n < 10_000_000:
		return count(n/1000) + " kB"
	}
	return count(n/1_000_000) + " MB"
}

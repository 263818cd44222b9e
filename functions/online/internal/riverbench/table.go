package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
)

// comparison is a table of River's and ours.
type comparison struct {
	heading []string
	texts   []int // the columns that are not numbers, besides the first
	rows    [][]string
	notes   []string
}

// speeds has three rows a model: River's two versions and ours.
func speeds() *comparison {
	return &comparison{
		heading: []string{"model", "events", "library", "learn us", "predict us", "learn+predict /s", "state bytes", "ours is", "our state is"},
		texts:   []int{2, 7, 8},
	}
}

func (c *comparison) add(who contender, ours timing, theirs map[string]map[string]timing) {
	first := []string{who.name, fmt.Sprint(who.events)}
	row := func(library string, t timing, cells ...string) {
		c.rows = append(c.rows, append([]string{
			first[0], first[1], library, digits(t.LearnUS), digits(t.PredictUS), grouped(1e6 / t.both()), grouped(float64(t.StateBytes)),
		}, cells...))
		first = []string{"", ""}
	}
	for _, version := range []string{demoRiver, newestRiver} {
		t, ok := theirs[version][who.theirs()]
		if !ok || who.of != "" && who.of != version {
			continue // it has none, or another
		}
		library := "River " + version
		if note := who.notes[version]; note != "" {
			library += " (" + note + ")"
		}
		row(library, t, times(t.both()/ours.both(), "faster", "slower"), times(float64(t.StateBytes)/float64(ours.StateBytes), "smaller", "larger"))
	}
	row("tripcast", ours, "", "")
}

// times says a ratio the way round that is above 1.
func times(ratio float64, more, less string) string {
	if ratio < 1 {
		ratio, more = 1/ratio, less
	}
	return digits(ratio) + "x " + more
}

// digits has three digits that count.
func digits(v float64) string {
	switch {
	case v == 0:
		return "-"
	case v < 1:
		return fmt.Sprintf("%.3f", v)
	case v < 10:
		return fmt.Sprintf("%.2f", v)
	case v < 100:
		return fmt.Sprintf("%.1f", v)
	}
	return grouped(v)
}

// grouped is a whole number with commas.
func grouped(v float64) string {
	text := fmt.Sprintf("%.0f", v)
	for at := len(text) - 3; at > 0; at -= 3 {
		text = text[:at] + "," + text[at:]
	}
	return text
}

func (c comparison) print(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, row := range append([][]string{c.heading}, c.rows...) {
		fmt.Fprintln(w, strings.Join(row, "\t"))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintln(out, "\n"+strings.Join(c.notes, "\n"))
	return err
}

func (c comparison) markdown() string {
	var b strings.Builder
	line := func(cells []string) { fmt.Fprintln(&b, "| "+strings.Join(cells, " | ")+" |") }
	line(c.heading)
	rule := make([]string, len(c.heading))
	for i := range rule {
		if rule[i] = "---"; i != 0 && !slices.Contains(c.texts, i) {
			rule[i] = "---:"
		}
	}
	line(rule)
	for _, row := range c.rows {
		line(row)
	}
	fmt.Fprintln(&b, "\n"+strings.Join(c.notes, "\n\n"))
	return b.String()
}

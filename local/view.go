package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/term"

	"tripcast.dev/events"
)

// screen shows the state of the run: on a terminal as a block that is drawn
// again and again at the bottom, with log lines scrolling above it; elsewhere as
// a line now and then. It is an io.Writer for the log.
type screen struct {
	mu       sync.Mutex
	out      io.Writer
	terminal bool
	drawn    int // lines of the block on the screen
}

func newScreen(out io.Writer) *screen {
	f, ok := out.(*os.File)
	return &screen{out: out, terminal: ok && term.IsTerminal(int(f.Fd()))}
}

// Write puts text above the block.
func (s *screen) Write(text []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.clear()
	return s.out.Write(text)
}

func (s *screen) clear() {
	if s.drawn > 0 {
		fmt.Fprintf(s.out, "\x1b[%dA\x1b[J", s.drawn)
		s.drawn = 0
	}
}

func (s *screen) draw(lines []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	width := 80
	if f, ok := s.out.(*os.File); ok {
		if w, _, err := term.GetSize(int(f.Fd())); err == nil && w > 20 {
			width = w
		}
	}
	var b strings.Builder
	for _, l := range lines {
		if r := []rune(l); len(r) > width-1 {
			l = string(r[:width-1])
		}
		b.WriteString(l + "\n")
	}
	s.clear()
	fmt.Fprint(s.out, b.String())
	s.drawn = len(lines)
}

// show draws the moments until ctx ends or it is stopped: twice a second on a
// terminal, where the last one stays; elsewhere a line every few seconds, the
// first as soon as there is a prediction.
func (s *screen) show(ctx context.Context, look func() moment) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	shown := make(chan struct{})
	go func() {
		defer close(shown)
		s.showing(ctx, look)
	}()
	return func() {
		cancel()
		<-shown
		if s.terminal {
			s.draw(look().block())
			s.drawn = 0
		}
	}
}

func (s *screen) showing(ctx context.Context, look func() moment) {
	const redraw, lines = 500 * time.Millisecond, 5 * time.Second
	ticker := time.NewTicker(redraw)
	defer ticker.Stop()
	before, at, told := int64(0), time.Now(), time.Time{}
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		m := look()
		if !s.terminal && (m.counts[events.TopicPredictions] == 0 || time.Since(told) < lines) {
			continue
		}
		m.rate = float64(m.counts[events.TopicLabels]-before) / time.Since(at).Seconds()
		before, at, told = m.counts[events.TopicLabels], time.Now(), time.Now()
		if s.terminal {
			s.draw(m.block())
		} else {
			fmt.Fprintln(s, m.line())
		}
	}
}

// moment is what is shown, at one time.
type moment struct {
	clock     time.Time // the city's, zero before the first trip
	own       bool      // the stream is not one of trips: of what goes in nothing is known
	total     int64     // trips that will start in all, 0 or less where that is unknown
	elapsed   time.Duration
	counts    map[string]int64
	dead      int64
	lag       Quantiles // of the last trips
	staleness Quantiles
	models    []modelLine
	champion  string
	rate      float64 // labels a second, since the last moment
}

type modelLine struct {
	name        string
	mae, recent float64
}

// moment reads the counters.
func (t *tally) moment() moment {
	t.mu.Lock()
	defer t.mu.Unlock()
	m := moment{counts: map[string]int64{}, dead: t.records[events.TopicDeadLetters], clock: t.clock, lag: quantiles(t.recent.all()), champion: t.staleness.champion}
	m.own = t.starts() == events.TopicFeatures
	for topic := range topicBits {
		m.counts[topic] = t.distinct[topic]
	}
	recent := t.staleness.ms[max(0, len(t.staleness.ms)-2048):]
	m.staleness = quantiles(slices.Clone(recent))
	for name, e := range t.models {
		m.models = append(m.models, modelLine{name, e.abs / float64(e.n), e.recentAbs / e.recentWeights})
	}
	slices.SortFunc(m.models, func(a, b modelLine) int { return strings.Compare(a.name, b.name) })
	return m
}

// block is the moment as the terminal shows it.
func (m moment) block() []string {
	c := m.counts
	lines := []string{
		"",
		fmt.Sprintf("tripcast  %s   the %s clock %s", m.elapsed.Round(time.Second), m.whose(), m.time()),
		m.flow(),
		fmt.Sprintf("  pipeline  %8d predicted %7d learned    %9.0f %s/s   %d dead letters", c[events.TopicPredictions], c[events.TopicLabels], m.rate, m.things(), m.dead),
		fmt.Sprintf("  lag       %6.0f ms p50  %6.0f ms p99      staleness %.0f ms p50  %.0f ms p99", m.lag.P50, m.lag.P99, m.staleness.P50, m.staleness.P99),
		"  model                        mean abs. error   last ~1,000 " + m.things(),
	}
	for _, l := range m.models {
		mark := " "
		if l.name == m.champion {
			mark = "*"
		}
		lines = append(lines, fmt.Sprintf("  %s %-26s %10.1f s %16.1f s", mark, l.name, l.mae, l.recent))
	}
	if len(m.models) == 0 {
		lines = append(lines, "    (none has been learned yet)")
	}
	if m.total > 0 {
		lines = append(lines, "  "+bar(float64(c[events.TopicLabels])/float64(m.total), 50)+fmt.Sprintf(" %d of %d learned", c[events.TopicLabels], m.total))
	}
	return lines
}

// flow is what goes in and out, as far as it is known.
func (m moment) flow() string {
	c := m.counts
	if m.own {
		return fmt.Sprintf("  features  %8d written  %8d without a label yet", c[events.TopicFeatures], c[events.TopicFeatures]-c[events.TopicLabels])
	}
	return fmt.Sprintf("  trips     %8d started  %8d on their way  %8d ended", c[events.TopicPickUps], c[events.TopicPickUps]-c[events.TopicDropOffs], c[events.TopicDropOffs])
}

// things are what is counted.
func (m moment) things() string {
	if m.own {
		return "labels"
	}
	return "trips"
}

func (m moment) whose() string {
	if m.own {
		return "stream's"
	}
	return "city's"
}

// started is how many trips have begun.
func (m moment) started() int64 {
	if m.own {
		return m.counts[events.TopicFeatures]
	}
	return m.counts[events.TopicPickUps]
}

func (m moment) time() string {
	if m.clock.IsZero() {
		return "-"
	}
	return m.clock.Format("Mon 2006-01-02 15:04:05")
}

// line is the moment where there is no terminal.
func (m moment) line() string {
	c := m.counts
	models := make([]string, 0, len(m.models))
	for _, l := range m.models {
		models = append(models, fmt.Sprintf("%s %.1f s", l.name, l.mae))
	}
	progress := ""
	if m.total > 0 {
		progress = fmt.Sprintf(" of %d", m.total)
	}
	return fmt.Sprintf("%s clock %s | started %d%s, predicted %d, learned %d, %.0f %s/s | lag p50 %.0f ms p99 %.0f ms | error %s",
		m.elapsed.Round(time.Second), m.time(), m.started(), progress, c[events.TopicPredictions], c[events.TopicLabels], m.rate, m.things(),
		m.lag.P50, m.lag.P99, strings.Join(models, ", "))
}

func bar(part float64, width int) string {
	full := int(min(1, max(0, part)) * float64(width))
	return "[" + strings.Repeat("#", full) + strings.Repeat("-", width-full) + "]" + fmt.Sprintf(" %3.0f %%", part*100)
}

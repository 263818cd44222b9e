package live

import (
	"log/slog"
	"slices"
	"strings"
	"time"
)

// source is where views come from, in parts that fail on their own. It answers
// when all of its parts do; if some do, those that are missing are no fault. The
// Feed's mutex guards it.
type source struct {
	name string // for the log
	log  *slog.Logger

	shown    Source
	answered bool // ever
	parts    map[string]part
}

// part is one connection.
type part struct {
	live bool
	err  problem // of the last attempt
}

// newSource makes one that has not answered yet. Its address, for the log, may be
// empty.
func newSource(name, at string, log *slog.Logger, parts ...string) *source {
	if at != "" {
		log = log.With("at", at)
	}
	s := &source{name: name, log: log, parts: map[string]part{}}
	for _, p := range parts {
		s.parts[p] = part{}
	}
	s.shown = Source{State: Connecting, Since: time.Now().UnixMilli()}
	return s
}

// live notes that a part has all of its rows.
func (s *source) live(name string) {
	s.answered = true
	s.parts[name] = part{live: true}
	s.update()
}

// failed notes why a part gives nothing.
func (s *source) failed(name string, p problem) {
	s.answered = s.answered || p.answered || s.parts[name].live
	s.parts[name] = part{err: p}
	s.update()
}

// update computes the state. One that has been lost stays away until every part
// is back.
func (s *source) update() {
	next := Source{State: Live}
	var cause error
	names := make([]string, 0, len(s.parts))
	for name := range s.parts {
		names = append(names, name)
	}
	slices.Sort(names)
	var missing []string
	some, waiting := s.anyLive()
	for _, name := range names {
		p := s.parts[name]
		switch {
		case p.live:
		case some && p.err.missing:
			missing = append(missing, name)
		case waiting && p.err.missing: // perhaps others are there
			next.State = s.notLive(waiting)
		default:
			next.State = s.notLive(waiting)
			if next.Error == "" {
				next.Error, cause = p.err.text, p.err.cause
			}
		}
	}
	next.Missing = strings.Join(missing, ", ")
	next.Since = s.shown.Since
	if next.State != s.shown.State {
		next.Since = time.Now().UnixMilli()
	}
	s.tell(next, cause)
	s.shown = next
}

// anyLive reports whether any part is, and whether any has not been heard of yet.
func (s *source) anyLive() (some, waiting bool) {
	for _, p := range s.parts {
		some = some || p.live
		waiting = waiting || !p.live && p.err.text == ""
	}
	return some, waiting
}

func (s *source) notLive(waiting bool) string {
	for _, p := range s.parts {
		if waiting && p.err.missing {
			continue
		}
		if p.err.text != "" && s.answered {
			return Away
		}
	}
	return s.shown.State
}

// tell logs a change of state, and the first reason why there is no answer.
func (s *source) tell(next Source, cause error) {
	switch {
	case next.State == Live && s.shown.State != Live:
		s.log.Info(s.name + " is live")
	case next.State != Live && next.Error != "" && (next.State != s.shown.State || s.shown.Error == ""):
		s.log.Warn(s.name+" is "+next.State+", tried again until it answers", "why", next.Error, "err", cause)
	}
}

package evaluate

import (
	"container/heap"
	"fmt"
	"iter"
	"math"
	"time"
)

// Sample is a question that was asked at one time and answered at another.
type Sample struct {
	ID      string
	At      time.Time // when the prediction is asked for
	LabelAt time.Time // when the label is known, not before At
	X       []float64 // the features, in an order that all samples share; NaN is missing
	Y       float64   // the label
}

// Turn is one step of a session: a sample is asked, or its label is revealed.
type Turn struct {
	Sample
	N      int  // the number of the sample, from 0, in the order of the questions
	Answer bool // the label is revealed

	// slot is a number that no other sample has between question and answer: they
	// are used again, so that what is pending fits a slice.
	slot int
}

// Turns is the order in which a live system would see the samples: each is asked
// at At and answered at LabelAt. Samples come in the order of At; one that does
// not is an error, as is a label that is known before it is asked for or is not
// a finite number. An error ends the session as the end of the samples does: the
// answers that are left come first, then the error, once.
//
// It is River's stream.simulate_qa: before a question, every answer whose time
// has come, the present moment included; answers in the order of LabelAt, and of
// their questions where that is equal.
func Turns(samples iter.Seq2[Sample, error]) iter.Seq2[Turn, error] {
	return func(yield func(Turn, error) bool) {
		var s session
		for sample, err := range samples {
			if err == nil {
				err = s.check(sample)
			}
			if err != nil {
				if s.answer(yield, nil) {
					yield(Turn{}, err)
				}
				return
			}
			if !s.answer(yield, &sample.At) || !yield(s.ask(sample), nil) {
				return
			}
		}
		s.answer(yield, nil)
	}
}

// session is what Turns keeps: the samples whose label is not known yet.
type session struct {
	pending pending
	asked   int
	now     time.Time
	slots   int   // how many there are
	free    []int // those that are not taken
}

func (s *session) check(sample Sample) error {
	switch {
	case sample.At.Before(s.now):
		return fmt.Errorf("evaluate: sample %s is asked at %s, before the one ahead of it", sample.ID, clock(sample.At))
	case sample.LabelAt.Before(sample.At):
		return fmt.Errorf("evaluate: sample %s is answered at %s, before it is asked at %s", sample.ID, clock(sample.LabelAt), clock(sample.At))
	case math.IsNaN(sample.Y), math.IsInf(sample.Y, 0):
		return fmt.Errorf("evaluate: sample %s has the label %v", sample.ID, sample.Y)
	}
	return nil
}

// ask makes a sample pending and returns its question.
func (s *session) ask(sample Sample) Turn {
	turn := Turn{Sample: sample, N: s.asked}
	if n := len(s.free); n > 0 {
		turn.slot, s.free = s.free[n-1], s.free[:n-1]
	} else {
		turn.slot, s.slots = s.slots, s.slots+1
	}
	s.asked++
	s.now = sample.At
	heap.Push(&s.pending, turn)
	return turn
}

// answer yields the answers that are due, all of them if due is nil. It is false
// once the receiver wants no more.
func (s *session) answer(yield func(Turn, error) bool, due *time.Time) bool {
	for len(s.pending) > 0 && (due == nil || !s.pending[0].LabelAt.After(*due)) {
		turn := heap.Pop(&s.pending).(Turn)
		turn.Answer = true
		if !yield(turn, nil) {
			return false
		}
		s.free = append(s.free, turn.slot)
	}
	return true
}

// pending is a heap of questions, the next to be answered first.
type pending []Turn

func (p pending) Len() int      { return len(p) }
func (p pending) Swap(i, j int) { p[i], p[j] = p[j], p[i] }
func (p pending) Less(i, j int) bool {
	if c := p[i].LabelAt.Compare(p[j].LabelAt); c != 0 {
		return c < 0
	}
	return p[i].N < p[j].N
}

func (p *pending) Push(x any) { *p = append(*p, x.(Turn)) }

func (p *pending) Pop() any {
	last := len(*p) - 1
	turn := (*p)[last]
	(*p)[last] = Turn{} // lets its features go
	*p = (*p)[:last]
	return turn
}

func clock(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }

package together

import (
	"runtime"
	"sync/atomic"
	"testing"
	"time"
)

// Whatever the parts take, each is done once and none is left when Each returns.
func TestEach(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(4))
	for name, took := range map[string]time.Duration{"short": 0, "long": 100 * time.Microsecond} {
		var c Crew
		var working, most atomic.Int32
		for range 3 * trial {
			done := make([]int, 5)
			c.Each(len(done), func(i int) {
				now := working.Add(1)
				if now > most.Load() {
					most.Store(now)
				}
				if took > 0 {
					time.Sleep(took)
				}
				done[i]++
				working.Add(-1)
			})
			for i, times := range done {
				if times != 1 {
					t.Fatalf("%s: part %d was done %d times", name, i, times)
				}
			}
		}
		if took > 0 && most.Load() < 2 {
			t.Errorf("%s parts were done one by one", name)
		}
	}
}

func TestDecide(t *testing.T) {
	var c Crew
	for i, step := range []struct {
		took   time.Duration
		atOnce bool
	}{{enough, false}, {enough, true}, {enough - 1, false}, {time.Second, false}, {enough, true}, {time.Second, true}} {
		if c.decide(step.took); c.atOnce != step.atOnce {
			t.Errorf("timing %d, of %s: at once is %t", i, step.took, c.atOnce)
		}
	}
}

func TestOneProcessor(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	c := Crew{atOnce: true, turn: 1}
	next := 0
	c.Each(5, func(i int) {
		if i != next {
			t.Errorf("part %d, want %d", i, next)
		}
		next++
	})
	if next != 5 {
		t.Errorf("%d parts were done", next)
	}
}

// A panic of a goroutine that nobody can recover would end the program.
func TestPanicIsTheCallers(t *testing.T) {
	for _, workers := range []int{1, 2, 4} {
		for at := range 4 {
			func() {
				defer func() {
					if v := recover(); v != at {
						t.Errorf("%d workers: recovered %v, want %d", workers, v, at)
					}
				}()
				Each(workers, 4, func(i int) {
					if i == at {
						panic(i)
					}
				})
				t.Errorf("%d workers: the panic of part %d is lost", workers, at)
			}()
		}
	}
}

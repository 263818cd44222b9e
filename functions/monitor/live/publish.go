package live

import (
	"context"
	"time"
)

// publishAll makes messages of what has changed until ctx ends.
func (f *Feed) publishAll(ctx context.Context) {
	ticker := time.NewTicker(f.timing.publish)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-ticker.C:
			f.publish(now)
		}
	}
}

// publish makes an edition of what is known now.
func (f *Feed) publish(now time.Time) {
	next := f.hub.current.Load().now
	f.mu.Lock()
	may := f.state.due(now, f.timing.slowly)
	if may&changedErrors != 0 {
		next.Errors = f.state.errorsView()
	}
	if may&changedSegments != 0 {
		next.Segments = f.state.segmentsView()
	}
	if may&changedModels != 0 {
		next.Models = f.state.modelsView()
	}
	if may&changedSummary != 0 {
		next.Summary = f.state.summary(now)
	}
	news, renewed := f.state.trips.tell()
	f.mu.Unlock()
	f.hub.publish(next, may, news, renewed)
}

// due returns which views are to be made now. Errors and segments may wait: they
// are large.
func (s *state) due(now time.Time, slowly time.Duration) changed {
	s.look(now)
	may := s.changed
	if now.Sub(s.slow) < slowly {
		may &^= changedErrors | changedSegments
	} else if may&(changedErrors|changedSegments) != 0 {
		s.slow = now
	}
	if may&changedErrors != 0 {
		s.lead()
		may |= changedModels
	}
	s.changed &^= may
	return may
}

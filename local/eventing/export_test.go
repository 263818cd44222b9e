package eventing

import "context"

// Kill ends the sources as a crash does: requests under way are cut off and
// nothing is committed. Only the group is left in order, so that tests need not
// wait for a session to time out.
func (e *Eventing) Kill() {
	for _, s := range e.running() {
		s.mu.Lock()
		s.abandoned = true
		s.mu.Unlock()
		s.giveUp()
	}
	_ = e.Close(context.Background())
}

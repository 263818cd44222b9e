package stats

import "tripcast.dev/functions/online/state"

// Window is the last of a sequence, at most so many. It takes memory as it fills.
type Window[T any] struct {
	size   int
	next   int // where the next one goes, once it is full
	values []T
}

// NewWindow returns a window of size, at least 1.
func NewWindow[T any](size int) Window[T] { return Window[T]{size: max(size, 1)} }

// Len is how many are in the window.
func (w *Window[T]) Len() int { return len(w.values) }

// Push adds v. If the window was full, it returns the oldest, which is out.
func (w *Window[T]) Push(v T) (oldest T, full bool) {
	if len(w.values) < w.size {
		w.values = append(w.values, v)
		return oldest, false
	}
	oldest, w.values[w.next] = w.values[w.next], v
	w.next = (w.next + 1) % w.size
	return oldest, true
}

// Renewed reports whether the window is full and the last Push was the last of
// as many: it is so once in a window's size.
func (w *Window[T]) Renewed() bool { return len(w.values) == w.size && w.next == 0 }

// Each calls f for each, the oldest first.
func (w *Window[T]) Each(f func(T)) {
	for _, v := range w.values[w.next:] {
		f(v)
	}
	for _, v := range w.values[:w.next] {
		f(v)
	}
}

// Append appends the window to an encoding, each of it by element.
func (w *Window[T]) Append(b []byte, element func([]byte, T) []byte) []byte {
	b = state.AppendUint(b, uint64(w.size))
	b = state.AppendUint(b, uint64(w.next))
	b = state.AppendUint(b, uint64(len(w.values)))
	for _, v := range w.values {
		b = element(b, v)
	}
	return b
}

// Decode reads what Append of a window of the same size has written, each by
// element, which takes at least so many bytes. Where that is not to be had the
// decoder fails, and the window is not to be used.
func (w *Window[T]) Decode(d *state.Decoder, bytes int, element func(*state.Decoder) T) {
	if n := d.Uint(); n != uint64(w.size) {
		d.Fail("is of a window of %d, want %d", n, w.size)
	}
	w.next = int(d.UintUpTo(uint64(w.size - 1)))
	n := d.Len(bytes)
	if n > w.size || w.next > 0 && n < w.size {
		d.Fail("holds %d of %d, the next at %d", n, w.size, w.next)
		n = 0
	}
	w.values = make([]T, 0, n)
	for range n {
		w.values = append(w.values, element(d))
	}
}

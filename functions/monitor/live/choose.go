package live

import "slices"

// choose leaves out what a page cannot use. A trip that is chosen as it starts is
// likely to be chosen as it ends, and the order stays.
func choose[T any](all []T, most int, id func(T) string) (chosen []T, leftOut int) {
	if len(all) <= most {
		return all, 0
	}
	marks := make([]uint32, len(all))
	for i, one := range all {
		marks[i] = mark(id(one))
	}
	limit := slices.Sorted(slices.Values(marks))[most-1]
	for i, one := range all {
		if marks[i] <= limit && len(chosen) < most {
			chosen = append(chosen, one)
		}
	}
	return chosen, len(all) - len(chosen)
}

// mark is the FNV-1a hash of an id.
func mark(id string) uint32 {
	h := uint32(2166136261)
	for i := range len(id) {
		h = (h ^ uint32(id[i])) * 16777619
	}
	return h
}

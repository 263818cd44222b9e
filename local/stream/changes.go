package stream

import "sync"

// changes is what a cursor has still to tell of its relation. They are netted: a
// cursor that nobody fetches from holds no more than the rows that were there
// when it was last asked and those that are there now.
type changes struct {
	mu    sync.Mutex
	net   map[string]int64 // by row, how many more of it there are than was told
	order []string         // rows as they came; some are in net no longer, or again
}

// change is so many rows more, or fewer.
type change struct {
	row  string
	diff int64
}

func (c *changes) add(d delta) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.net == nil {
		c.net = map[string]int64{}
	}
	for _, r := range d.removed {
		c.count(r.data, -1)
	}
	for _, r := range d.added {
		c.count(r.data, 1)
	}
	if len(c.order) > 2*len(c.net)+1024 {
		c.compact()
	}
}

func (c *changes) count(row string, more int64) {
	n, ok := c.net[row]
	if !ok {
		c.order = append(c.order, row)
	}
	if n += more; n == 0 {
		delete(c.net, row)
	} else {
		c.net[row] = n
	}
}

// compact forgets the places of rows that have left net. A row that came back
// keeps its first.
func (c *changes) compact() {
	seen := make(map[string]bool, len(c.net))
	kept := c.order[:0]
	for _, row := range c.order {
		if _, ok := c.net[row]; ok && !seen[row] {
			seen[row] = true
			kept = append(kept, row)
		}
	}
	clear(c.order[len(kept):])
	c.order = kept
}

// take empties it: the rows that went, then those that came, each in the order
// in which they did.
func (c *changes) take() []change {
	c.mu.Lock()
	defer c.mu.Unlock()
	var went, came []change
	for _, row := range c.order {
		switch n := c.net[row]; {
		case n < 0:
			went = append(went, change{row, n})
		case n > 0:
			came = append(came, change{row, n})
		}
		delete(c.net, row)
	}
	c.order = nil
	return append(went, came...)
}

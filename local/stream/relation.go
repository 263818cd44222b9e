package stream

import (
	"bytes"
	"container/heap"
	"slices"
)

// row is a row and the partition it belongs to: the rows of a relation that
// come and go together, because they are computed from the same input.
type row struct {
	partition string
	data      string
}

// delta is how a relation changed.
type delta struct {
	added, removed []row
}

func (d *delta) empty() bool { return len(d.added) == 0 && len(d.removed) == 0 }

func (d *delta) append(o delta) {
	d.added = append(d.added, o.added...)
	d.removed = append(d.removed, o.removed...)
}

// relation holds the rows of a view that is maintained.
type relation struct {
	name    string
	columns []column
	// key are the columns whose values make the partition's name, in that
	// order; nil where the partition is not made of columns.
	key     []int
	rows    map[string][]string // by partition
	several bool                // a partition has had more than one row
	count   int
	indexes []*index
	// untils are, by partition and in the order of its rows, when they go; only
	// of a view with a temporal filter. expiry says which partition is next.
	untils map[string][]int64
	expiry expiries
	// version counts the changes, and cursors are told of them.
	version uint64
	cursors []*changes
}

func newRelation(name string, columns []column, key []int) *relation {
	return &relation{name: name, columns: columns, key: key, rows: map[string][]string{}}
}

// index finds the partitions whose rows have given values in some columns.
type index struct {
	columns    []int
	nulls      bool // rows with a NULL in a column are in it
	partitions map[string][]string
}

// indexOn makes an index, or finds the one that serves: nil says that the
// partition map itself does. A join has no use for NULLs, which equal nothing;
// a group does, where they are a value like any other.
func (r *relation) indexOn(columns []int, nulls bool) *index {
	if slices.Equal(columns, r.key) {
		return nil
	}
	for _, i := range r.indexes {
		if slices.Equal(i.columns, columns) {
			i.nulls = i.nulls || nulls
			return i
		}
	}
	i := &index{columns: columns, nulls: nulls, partitions: map[string][]string{}}
	r.indexes = append(r.indexes, i)
	return i
}

// find calls yield with the rows that have this key under i.
func (r *relation) find(i *index, key []byte, yield func(partition, data string)) {
	if i == nil {
		for _, data := range r.rows[string(key)] {
			yield(string(key), data)
		}
		return
	}
	partitions := i.partitions[string(key)]
	if !r.several {
		for _, p := range partitions {
			yield(p, r.rows[p][0])
		}
		return
	}
	seen := make(map[string]bool, len(partitions))
	for _, p := range partitions {
		if seen[p] {
			continue
		}
		seen[p] = true
		for _, data := range r.rows[p] {
			if k, _ := appendKey(nil, data, r.columns, i.columns); bytes.Equal(k, key) {
				yield(p, data)
			}
		}
	}
}

// all appends every row to rows.
func (r *relation) all(rows []fed) []fed {
	rows = slices.Grow(rows, r.count)
	for _, partition := range r.rows {
		for _, data := range partition {
			rows = append(rows, fed{data: data})
		}
	}
	return rows
}

// clear forgets all rows. Nobody is told: it is for what nobody looks at.
func (r *relation) clear() {
	r.rows, r.count, r.several = map[string][]string{}, 0, false
	for _, i := range r.indexes {
		i.partitions = map[string][]string{}
	}
	r.untils, r.expiry = nil, nil
	r.version++
}

// changed notes a change that has been made, and tells the cursors.
func (r *relation) changed(d delta) {
	if d.empty() {
		return
	}
	r.version++
	for _, c := range r.cursors {
		c.add(d)
	}
}

// replace sets the rows of a partition and reports what that changed. Rows that
// stay are not touched.
func (r *relation) replace(partition string, rows []string, d *delta) {
	old := r.rows[partition]
	if slices.Equal(old, rows) {
		return
	}
	var kept []string
	for _, o := range old {
		if n := slices.Index(rows, o); n >= 0 {
			kept = append(kept, o)
			rows = slices.Delete(slices.Clone(rows), n, n+1)
			continue
		}
		r.unindex(partition, o)
		d.removed = append(d.removed, row{partition, o})
	}
	for _, n := range rows {
		r.index(partition, n)
		d.added = append(d.added, row{partition, n})
	}
	r.count += len(kept) + len(rows) - len(old)
	if now := append(kept, rows...); len(now) > 0 {
		r.rows[partition] = now
		r.several = r.several || len(now) > 1
	} else {
		delete(r.rows, partition)
	}
}

func (r *relation) index(partition, data string) {
	var scratch [128]byte
	for _, i := range r.indexes {
		if key, ok := appendKey(scratch[:0], data, r.columns, i.columns); ok || i.nulls {
			i.partitions[string(key)] = append(i.partitions[string(key)], partition)
		}
	}
}

func (r *relation) unindex(partition, data string) {
	var scratch [128]byte
	for _, i := range r.indexes {
		key, ok := appendKey(scratch[:0], data, r.columns, i.columns)
		if !ok && !i.nulls {
			continue
		}
		all := i.partitions[string(key)]
		// Rows leave in about the order in which they came.
		switch n := slices.Index(all, partition); {
		case n == 0:
			all[0] = ""
			all = all[1:]
		case n > 0:
			all = slices.Delete(all, n, n+1)
		}
		if len(all) == 0 {
			delete(i.partitions, string(key))
		} else {
			i.partitions[string(key)] = all
		}
	}
}

// replaceUntil is replace for rows that go after untils (microseconds). A row
// that stays may get another end.
func (r *relation) replaceUntil(partition string, rows []string, untils []int64, d *delta) {
	r.replace(partition, rows, d)
	var now []int64
	used := make([]bool, len(rows))
	for _, data := range r.rows[partition] {
		for n := range rows {
			if !used[n] && rows[n] == data {
				used[n] = true
				now = append(now, untils[n])
				break
			}
		}
	}
	if slices.Equal(now, r.untils[partition]) {
		return
	}
	if r.untils == nil {
		r.untils = map[string][]int64{}
	}
	if len(now) == 0 {
		delete(r.untils, partition)
		return
	}
	r.untils[partition] = now
	heap.Push(&r.expiry, expiring{slices.Min(now), partition})
}

// expire removes the rows whose time is over.
func (r *relation) expire(now int64, d *delta) {
	for len(r.expiry) > 0 && r.expiry[0].until < now {
		partition := heap.Pop(&r.expiry).(expiring).partition
		var rows []string
		var untils []int64
		for i, until := range r.untils[partition] {
			if until >= now {
				rows = append(rows, r.rows[partition][i])
				untils = append(untils, until)
			}
		}
		if len(rows) < len(r.rows[partition]) {
			r.replaceUntil(partition, rows, untils, d)
		}
	}
}

// expiring is a partition one of whose rows may have to go after until. It is
// out of date if the partition has changed since.
type expiring struct {
	until     int64
	partition string
}

type expiries []expiring

func (e expiries) Len() int           { return len(e) }
func (e expiries) Less(i, j int) bool { return e[i].until < e[j].until }
func (e expiries) Swap(i, j int)      { e[i], e[j] = e[j], e[i] }
func (e *expiries) Push(x any)        { *e = append(*e, x.(expiring)) }
func (e *expiries) Pop() any {
	last := (*e)[len(*e)-1]
	*e = (*e)[:len(*e)-1]
	return last
}

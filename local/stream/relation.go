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
	kept    *partitions
	several bool // a partition has had more than one row
	count   int
	indexes []*index
	// expiry says which partition is next, of a view with a temporal filter.
	expiry expiries
	// version counts the changes, and cursors are told of them.
	version uint64
	cursors []*changes

	// What replace works with.
	old, now, added          []string
	oldEnds, ends, addedEnds []int64
}

func newRelation(name string, columns []column, key []int) *relation {
	return &relation{name: name, columns: columns, key: key, kept: newPartitions()}
}

// index finds the partitions whose rows have given values in some columns.
type index struct {
	columns    []int
	nulls      bool        // rows with a NULL in a column are in it
	partitions numberLists // by the hash of the values, one for each row
}

// indexOn makes an index, or finds the one that serves: nil says that the
// names of the partitions themselves do. A join has no use for NULLs, which equal
// nothing; a group does, where they are a value like any other.
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
	i := &index{columns: columns, nulls: nulls}
	r.indexes = append(r.indexes, i)
	return i
}

// find calls yield with the rows that have this key under i.
func (r *relation) find(i *index, key []byte, yield func(partition, data string)) {
	if i == nil {
		if n, ok := r.kept.find(key); ok {
			for open := r.kept.open(n); open.rows > 0; {
				yield(open.name, open.next())
			}
		}
		return
	}
	var scratch [128]byte
	seen := map[uint32]bool{}
	for n := range i.partitions.of(r.kept.hash(key)) {
		if seen[n] {
			continue
		}
		if r.several { // one may be in the list for each of its rows
			seen[n] = true
		}
		for open := r.kept.open(n); open.rows > 0; {
			data := open.next()
			if k, _ := appendKey(scratch[:0], data, r.columns, i.columns); bytes.Equal(k, key) {
				yield(open.name, data)
			}
		}
	}
}

// each calls yield with every row.
func (r *relation) each(yield func(partition, data string)) {
	for n := range r.kept.all() {
		for open := r.kept.open(n); open.rows > 0; {
			yield(open.name, open.next())
		}
	}
}

// all appends every row to rows.
func (r *relation) all(rows []fed) []fed {
	rows = slices.Grow(rows, r.count)
	r.each(func(_, data string) { rows = append(rows, fed{data: data}) })
	return rows
}

// clear forgets all rows. Nobody is told: it is for what nobody looks at.
func (r *relation) clear() {
	r.kept.reset()
	r.count, r.several = 0, false
	for _, i := range r.indexes {
		i.partitions = numberLists{}
	}
	r.expiry = nil
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
	r.replaceUntil(partition, rows, nil, d)
}

// replaceUntil is replace for rows that go after untils (microseconds), one for
// each. A row that stays may get another end.
func (r *relation) replaceUntil(partition string, rows []string, untils []int64, d *delta) {
	r.kept.dated = r.kept.dated || len(untils) > 0
	number, there := r.kept.find([]byte(partition))
	r.old, r.oldEnds = r.old[:0], r.oldEnds[:0]
	if there {
		r.old, r.oldEnds = r.kept.rows(r.old, number), r.kept.untils(r.oldEnds, number)
	}
	if slices.Equal(r.old, rows) && slices.Equal(r.oldEnds, untils) {
		return
	}
	added, addedEnds := append(r.added[:0], rows...), append(r.addedEnds[:0], untils...)
	now, ends := r.now[:0], r.ends[:0]
	for _, o := range r.old {
		n := slices.Index(added, o)
		if n < 0 {
			r.unindex(number, o)
			d.removed = append(d.removed, row{partition, o})
			continue
		}
		now, added = append(now, o), slices.Delete(added, n, n+1)
		if r.kept.dated {
			ends, addedEnds = append(ends, addedEnds[n]), slices.Delete(addedEnds, n, n+1)
		}
	}
	stay := len(now)
	now, ends = append(now, added...), append(ends, addedEnds...)
	r.now, r.ends, r.added, r.addedEnds = now, ends, added, addedEnds
	r.count += len(now) - len(r.old)
	r.several = r.several || len(now) > 1
	if len(now) == 0 {
		r.kept.remove(number)
		return
	}
	number = r.put(partition, stay, d)
	if r.kept.dated && !slices.Equal(ends, r.oldEnds) {
		heap.Push(&r.expiry, expiring{slices.Min(ends), number})
	}
}

// put keeps the rows that a partition has now, of which some were there before.
func (r *relation) put(partition string, before int, d *delta) (number uint32) {
	number = r.kept.set(partition, r.now, r.ends)
	for open := r.kept.open(number); open.rows > 0; {
		data := open.next()
		if before--; before >= 0 {
			continue
		}
		r.index(number, data)
		d.added = append(d.added, row{open.name, data})
	}
	return number
}

func (r *relation) index(number uint32, data string) {
	var scratch [128]byte
	for _, i := range r.indexes {
		if key, ok := appendKey(scratch[:0], data, r.columns, i.columns); ok || i.nulls {
			i.partitions.add(r.kept.hash(key), number)
		}
	}
}

func (r *relation) unindex(number uint32, data string) {
	var scratch [128]byte
	for _, i := range r.indexes {
		if key, ok := appendKey(scratch[:0], data, r.columns, i.columns); ok || i.nulls {
			i.partitions.remove(r.kept.hash(key), number)
		}
	}
}

// expire removes the rows whose time is over.
func (r *relation) expire(now int64, d *delta) {
	var all, rows []string
	var ends, untils []int64
	for len(r.expiry) > 0 && r.expiry[0].until < now {
		number := heap.Pop(&r.expiry).(expiring).partition
		if !r.kept.has(number) {
			continue
		}
		all, ends = r.kept.rows(all[:0], number), r.kept.untils(ends[:0], number)
		rows, untils = rows[:0], untils[:0]
		for i, until := range ends {
			if until >= now {
				rows, untils = append(rows, all[i]), append(untils, until)
			}
		}
		if len(rows) < len(all) {
			r.replaceUntil(r.kept.name(number), rows, untils, d)
		}
	}
}

// expiring is a partition one of whose rows may have to go after until. It is
// out of date if the partition has changed since, or its number is another's.
type expiring struct {
	until     int64
	partition uint32
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

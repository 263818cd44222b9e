package stream

import "context"

// affected are the partitions to compute again, in the order in which their
// input came: what goes out keeps the order of what came in.
type affected struct {
	names []string
	known map[string]bool
}

func (a *affected) add(partition string) {
	if !a.known[partition] {
		a.known[partition] = true
		a.names = append(a.names, partition)
	}
}

// updateKeyed finds the partitions that a change can have reached, computes
// them from the inputs as they are now, and replaces them.
func (v *view) updateKeyed(ctx context.Context, now int64, out *delta) error {
	a := &affected{known: map[string]bool{}}
	for i := range v.inputs {
		for _, r := range v.pending[i].removed {
			v.reach(i, r, a)
		}
		for _, r := range v.pending[i].added {
			v.reach(i, r, a)
		}
	}
	return v.compute(ctx, a.names, now, out)
}

// compute replaces the rows of some partitions. Those that cannot be computed, for
// a cast that fails or a division by zero, are found by halves and left out.
func (v *view) compute(ctx context.Context, partitions []string, now int64, out *delta) error {
	for len(partitions) > atOnce {
		if err := v.compute(ctx, partitions[:atOnce], now, out); err != nil {
			return err
		}
		partitions = partitions[atOnce:]
	}
	if len(partitions) == 0 {
		return nil
	}
	err := v.tryCompute(ctx, partitions, now, out)
	switch {
	case err == nil:
		return nil
	case len(partitions) == 1:
		v.failed(err)
		v.out.replaceUntil(partitions[0], nil, nil, out)
		return nil
	}
	half := len(partitions) / 2
	if err := v.compute(ctx, partitions[:half], now, out); err != nil {
		return err
	}
	return v.compute(ctx, partitions[half:], now, out)
}

// atOnce bounds what DuckDB is given in one query, as when a view wakes up.
const atOnce = 1 << 13

// tryCompute changes nothing where it fails.
func (v *view) tryCompute(ctx context.Context, partitions []string, now int64, out *delta) error {
	if !v.feed(partitions) {
		for _, partition := range partitions {
			v.out.replaceUntil(partition, nil, nil, out)
		}
		return nil
	}
	results := make([][]string, len(partitions))
	untils := make([][]int64, len(partitions))
	var firsts [][]value
	if v.distinct {
		firsts = make([][]value, len(partitions))
	}
	var scratch []byte
	err := v.query.run(ctx, nil, func(values []value) error {
		n := values[len(v.columns)].int()
		if v.distinct {
			by := values[len(v.columns)+1:]
			if len(results[n]) > 0 && !before(by, firsts[n], v.query.columns[len(v.columns)+1:], v.first) {
				return nil
			}
			firsts[n], results[n] = append(firsts[n][:0], by...), results[n][:0]
		}
		if v.until {
			end := values[len(v.columns)+1]
			if end.null || end.int() < now {
				return nil
			}
			untils[n] = append(untils[n], end.int())
		}
		scratch = appendRow(scratch[:0], v.columns, values[:len(v.columns)])
		results[n] = append(results[n], string(scratch))
		return nil
	})
	if err != nil {
		return err
	}
	for n, partition := range partitions {
		v.out.replaceUntil(partition, results[n], untils[n], out)
	}
	return nil
}

// reach adds the partitions that a row of input i belongs to.
func (v *view) reach(i int, r row, a *affected) {
	in := v.inputs[i]
	if i == 0 {
		if in.columns == nil {
			a.add(r.partition)
			return
		}
		// A NULL is a group of its own.
		key, _ := appendKey(nil, r.data, in.relation.columns, in.columns)
		a.add(string(key))
		return
	}
	key, ok := appendKey(nil, r.data, in.relation.columns, in.columns)
	if !ok {
		return
	}
	parent := v.inputs[in.parent]
	parent.relation.find(in.parentIndex, key, func(partition, data string) {
		v.reach(in.parent, row{partition, data}, a)
	})
}

// feed fills the feeds with what the affected partitions are computed from, if there
// is anything: every row of the view is of some row that has its partition.
func (v *view) feed(partitions []string) bool {
	for _, in := range v.inputs {
		in.feed.rows = in.feed.rows[:0]
	}
	driver := v.inputs[0]
	for n, name := range partitions {
		driver.relation.find(driver.by, []byte(name), func(_, data string) {
			driver.feed.rows = append(driver.feed.rows, fed{partition: int64(n), data: data})
		})
	}
	if v.joined != nil {
		v.joined.fill(v, driver.feed.rows)
		return len(v.joined.feed.rows) > 0
	}
	var scratch []byte
	for _, in := range v.inputs[1:] {
		parent := v.inputs[in.parent]
		seen := map[string]bool{}
		for _, f := range parent.feed.rows {
			key, ok := appendKey(scratch[:0], f.data, parent.relation.columns, in.parentColumns)
			scratch = key
			if !ok || seen[string(key)] {
				continue
			}
			seen[string(key)] = true
			in.relation.find(in.index, key, func(_, data string) {
				in.feed.rows = append(in.feed.rows, fed{data: data})
			})
		}
	}
	return len(driver.feed.rows) > 0
}

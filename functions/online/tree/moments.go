package tree

// moments are the weight, the mean and the sum of squared deviations of labels:
// river/stats/var.py and mean.py, in the same order of operations.
type moments struct{ n, mean, s float64 }

// add takes in a label of weight w, above 0.
func (m *moments) add(y, w float64) {
	old := m.mean
	m.n += w
	m.mean += float64(w / m.n * (y - old))
	m.s += float64(float64(w*(y-old)) * (y - m.mean))
}

// merge takes in what o has seen. They have not both seen nothing.
func (m *moments) merge(o *moments) {
	d := m.mean - o.mean
	n := m.n + o.n
	m.s = m.s + o.s + float64(float64(float64(d*d)*m.n)*o.n)/n
	m.mean = (float64(m.n*m.mean) + float64(o.n*o.mean)) / n
	m.n = n
}

// remove takes out what o has seen, which is something. The mean moves before
// the squares do, as River has it.
func (m *moments) remove(o *moments) {
	if n := m.n - o.n; n > 0 {
		m.mean = (float64(m.n*m.mean) - float64(o.n*o.mean)) / n
		m.n = n
	} else {
		m.n, m.mean = 0, 0
	}
	d := m.mean - o.mean
	m.s = m.s - o.s - float64(float64(float64(d*d)*m.n)*o.n)/(m.n+o.n)
}

// variance is the sample variance, 0 below a weight of 1.
func (m *moments) variance() float64 {
	if m.n > 1 {
		return m.s / (m.n - 1)
	}
	return 0
}

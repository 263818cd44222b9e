package tree

import (
	"tripcast.dev/functions/online/drift"
	"tripcast.dev/functions/online/state"
)

// maxNested bounds alternate trees of alternate trees.
const maxNested = 8

// watch watches the errors of a branch, or of a leaf that is an alternate tree.
type watch struct {
	detector  *drift.ADWIN
	errors    moments
	alternate *node // nil where there is none
}

func (g *growth) newWatch() *watch { return &watch{detector: drift.NewADWIN(g.detector)} }

// observe takes in an error and reports whether errors have become larger.
func (w *watch) observe(e float64) bool {
	if !(e <= maxLabel) { // of a model that has diverged
		e = maxLabel
	}
	before := w.errors.mean
	w.detector.Update(e)
	w.errors.add(e, 1)
	if !w.detector.DriftDetected() {
		return false
	}
	if w.errors.mean < before {
		w.errors = moments{}
		return false
	}
	return true
}

func (w *watch) append(b []byte) []byte { return w.errors.append(w.detector.Append(b)) }

func (g *growth) decodeWatch(d *state.Decoder) *watch {
	w := g.newWatch()
	w.detector.Decode(d)
	w.errors = decodeMoments(d)
	return w
}

package forest

import (
	"bytes"
	"runtime"
	"testing"

	"tripcast.dev/functions/online/internal/golden"
)

// With a generator for each, trees learn at once and it does not show.
func TestARFMembersLearnAtOnce(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(4))
	learned := func(atOnce bool) []byte {
		c := DefaultARFConfig()
		c.Generators, c.NModels = true, 5
		m := NewARFRegressor(10, c)
		m.crew.Always = atOnce
		for _, e := range golden.Streams()[1].Events[:3000] {
			m.Learn(e.X, e.Y)
		}
		b, err := m.AppendBinary(nil)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	if !bytes.Equal(learned(false), learned(true)) {
		t.Error("forests whose trees learned one by one and at once differ")
	}
}

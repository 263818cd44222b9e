// Package golden holds models to what the real River computed: the streams that
// its vectors were made on, and the vectors. river/golden.py writes them and
// says how.
package golden

import (
	"compress/gzip"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// The first single values of a vector stand one by one, those after it as sums of block.
const single, block = 2_000, 10

// Run holds a model to its vectors on every stream, NAME.STREAM.gz. new is
// called once for each and returns what gives the model's value for an event,
// which it may then learn. Values may differ by the tolerance, relative to the
// larger of the value and scale, an absolute size below which nothing counts.
// after, if not nil, is called when a stream has ended.
func Run(t *testing.T, name string, tolerance, scale float64, new func(s Stream) func(Event) float64, after func(t *testing.T, s Stream)) {
	t.Helper()
	for _, s := range Streams() {
		t.Run(name+"."+s.Name, func(t *testing.T) {
			want := read(t, name+"."+s.Name+".gz")
			if n := single + (len(s.Events)-single+block-1)/block; len(want) != n {
				t.Fatalf("%d values in the vector, want %d", len(want), n)
			}
			value := new(s)
			c := comparison{t: t, tolerance: tolerance, scale: scale, want: want}
			for i, e := range s.Events {
				c.add(i, value(e))
			}
			c.end(len(s.Events))
			if after != nil {
				after(t, s)
			}
		})
	}
}

// Lines returns what River said besides of a case on a stream, such as the
// structure of its tree.
func Lines(t *testing.T, name string, s Stream) []string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(folder(), name+"."+s.Name+".txt"))
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
}

type comparison struct {
	t                *testing.T
	tolerance, scale float64
	want             []float64
	sum, size        float64 // of a block
}

func (c *comparison) add(i int, got float64) {
	if i < single {
		c.compare(fmt.Sprintf("event %d", i), got, c.want[i], math.Abs(c.want[i]))
		return
	}
	c.sum += got
	c.size += math.Abs(got)
	if (i-single)%block == block-1 {
		c.flush(i)
	}
}

func (c *comparison) end(n int) {
	if (n-single)%block != 0 {
		c.flush(n - 1)
	}
}

// flush compares a block that ends with event i.
func (c *comparison) flush(i int) {
	at := (i - single) / block
	c.compare(fmt.Sprintf("the sum of events %d to %d", single+at*block, i), c.sum, c.want[single+at], c.size)
	c.sum, c.size = 0, 0
}

func (c *comparison) compare(what string, got, want, size float64) {
	if math.IsNaN(got) && math.IsNaN(want) {
		return
	}
	if diff := math.Abs(got - want); !(diff <= c.tolerance*max(size, c.scale)) {
		c.t.Helper()
		c.t.Fatalf("%s: %v, River %v, off by %.3g of it", what, got, want, diff/max(size, c.scale))
	}
}

func read(t *testing.T, name string) []float64 {
	t.Helper()
	f, err := os.Open(filepath.Join(folder(), name))
	if err != nil {
		t.Fatalf("%v (river/golden.py writes it)", err)
	}
	defer f.Close()
	r, err := gzip.NewReader(f)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	data, err := io.ReadAll(r)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	values := make([]float64, len(data)/8)
	for i := range values {
		values[i] = math.Float64frombits(binary.LittleEndian.Uint64(data[8*i:]))
	}
	return values
}

// folder is where the vectors are, from whichever package's test asks.
func folder() string {
	_, file, _, _ := runtime.Caller(0)
	return filepath.Join(filepath.Dir(file), "vectors")
}

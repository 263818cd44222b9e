package mt19937_test

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"tripcast.dev/functions/online/internal/mt19937"
	"tripcast.dev/functions/online/state"
)

// What CPython 3.11 draws: for each seed
//
//	r = random.Random(seed)
//	[r.random() for _ in range(3)]; [r.gauss(0, 1) for _ in range(3)]
//	[r._randbelow(n) for n in (1, 2, 7, 1000, 10**7)]; r.sample(range(13), 4)
//	[r.random() for _ in range(1000)]; r.uniform(-3, 5)
var python = []struct {
	seed    uint64
	random  [3]float64
	gauss   [3]float64
	below   [5]int
	sample  []int
	uniform float64
}{
	{0, [3]float64{0.8444218515250481, 0.7579544029403025, 0.420571580830845}, [3]float64{-0.06700651572905797, 1.1947466787499987, -1.4471231264273656}, [5]int{0, 1, 2, 597, 3664860}, []int{8, 2, 4, 11}, 1.0313855786400525},
	{1, [3]float64{0.13436424411240122, 0.8474337369372327, 0.763774618976614}, [3]float64{-0.03724711554723822, 1.1690723723117449, -1.3796439072995432}, [5]int{0, 0, 3, 29, 6539906}, []int{6, 9, 0, 7}, 1.7920536679356722},
	{42, [3]float64{0.6394267984578837, 0.025010755222666936, 0.27502931836911926}, [3]float64{0.2735990065583831, 1.610071094463357, -0.938051221433234}, [5]int{0, 1, 0, 30, 1571945}, []int{3, 12, 8, 9}, 1.7771676761563606},
	{1 << 32, [3]float64{0.11299430095636409, 0.41782886486292836, 0.0166763664992291}, [3]float64{-1.3820808584571456, -1.1687647713904716, -0.6155164817552834}, [5]int{0, 0, 1, 77, 7267231}, []int{8, 5, 11, 6}, -2.449721626272937},
	{1<<63 + 5, [3]float64{0.3442386103531446, 0.4613981665936734, 0.10248021807011609}, [3]float64{0.23000970275999347, 0.7663932887378715, 0.09721443563059902}, [5]int{0, 1, 4, 564, 7719556}, []int{12, 8, 1, 11}, -1.389409569825225},
}

func TestPython(t *testing.T) {
	for _, want := range python {
		t.Run(fmt.Sprint(want.seed), func(t *testing.T) {
			r := mt19937.New(want.seed)
			for i, w := range want.random {
				if got := r.Float64(); got != w {
					t.Errorf("random() %d = %v, want %v", i, got, w)
				}
			}
			for i, w := range want.gauss {
				if got := r.Gauss(0, 1); math.Abs(got-w) > 1e-15 {
					t.Errorf("gauss(0, 1) %d = %v, want %v", i, got, w)
				}
			}
			for i, limit := range []int{1, 2, 7, 1000, 1e7} {
				if got := r.Below(limit); got != want.below[i] {
					t.Errorf("_randbelow(%d) = %d, want %d", limit, got, want.below[i])
				}
			}
			sample := make([]int, len(want.sample))
			if r.Sample(sample, 13); !slices.Equal(sample, want.sample) {
				t.Errorf("sample(range(13), 4) = %v, want %v", sample, want.sample)
			}
			for range 1000 {
				r.Float64()
			}
			if got := r.Uniform(-3, 5); got != want.uniform {
				t.Errorf("uniform(-3, 5) = %v, want %v", got, want.uniform)
			}
		})
	}
}

// random.Random(7).sample(range(n), k), on both sides of where Python changes its way.
func TestSample(t *testing.T) {
	tests := []struct {
		n, k int
		want []int
	}{
		{21, 5, []int{10, 4, 12, 1, 2}},
		{22, 5, []int{10, 4, 12, 20, 1}},
		{500, 5, []int{165, 485, 77, 202, 333}},
		{85, 6, []int{41, 19, 50, 6, 9, 68}},
		{86, 6, []int{41, 19, 50, 83, 6, 9}},
		{300, 20, []int{165, 77, 202, 24, 37, 274, 48, 187, 298, 29, 259, 109, 19, 44, 222, 214, 35, 123, 46, 282}},
		{512, 23, []int{331, 154, 404, 49, 74, 96, 374, 59, 219, 38, 88, 444, 428, 71, 246, 92, 434, 60, 126, 228, 63, 406, 50}},
	}
	for _, tt := range tests {
		got := make([]int, tt.k)
		if mt19937.New(7).Sample(got, tt.n); !slices.Equal(got, tt.want) {
			t.Errorf("sample(range(%d), %d) = %v, want %v", tt.n, tt.k, got, tt.want)
		}
	}
}

func TestPoisson(t *testing.T) {
	r := mt19937.New(3)
	var counts [4]int
	const draws = 100_000
	for range draws {
		counts[min(r.Poisson(1), 3)]++
	}
	for k, p := range []float64{math.Exp(-1), math.Exp(-1), math.Exp(-1) / 2} {
		if got := float64(counts[k]) / draws; math.Abs(got-p) > 0.01 {
			t.Errorf("%d was drawn in %.3f of the cases, want %.3f", k, got, p)
		}
	}
}

func TestState(t *testing.T) {
	r := mt19937.New(5)
	r.Gauss(0, 1) // leaves its second half behind
	for range 700 {
		r.Uint32()
	}
	b := r.Append(state.AppendHeader(nil, "Rand", 1))
	d, _ := state.NewDecoder(b, "Rand", 1)
	var copied mt19937.Rand
	copied.Decode(d)
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	for i := range 2000 {
		if a, b := r.Gauss(0, 1), copied.Gauss(0, 1); a != b {
			t.Fatalf("draw %d after decoding is %v, the original's %v", i, b, a)
		}
	}
	for n := range b {
		d, _ := state.NewDecoder(b[:n], "Rand", 1)
		if copied.Decode(d); d.Close() == nil {
			t.Fatalf("%d of %d bytes were read as a whole", n, len(b))
		}
	}
}

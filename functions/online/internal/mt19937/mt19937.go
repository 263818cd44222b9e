// Package mt19937 is the random number generator of Python's random.Random, so
// that a model with a seed draws what River's draws: the Mersenne Twister of
// Matsumoto and Nishimura, seeded and read as CPython does in
// Modules/_randommodule.c and Lib/random.py.
package mt19937

import (
	"math"
	"math/bits"
	"slices"

	"tripcast.dev/functions/online/internal/libm"
	"tripcast.dev/functions/online/state"
)

const (
	n = 624
	m = 397
)

// Rand is a generator. It is not safe for concurrent use.
type Rand struct {
	words [n]uint32
	at    uint32 // the next word; n where a new block is due
	gauss float64
	spare bool // gauss is the second half of a pair
}

// New returns random.Random(seed).
func New(seed uint64) *Rand {
	r := &Rand{}
	r.Seed(seed)
	return r
}

// Seed makes the generator what New(seed) returns.
func (r *Rand) Seed(seed uint64) {
	*r = Rand{at: n}
	key := []uint32{uint32(seed), uint32(seed >> 32)}
	if seed>>32 == 0 {
		key = key[:1]
	}
	// init_by_array, which starts from init_genrand(19650218).
	w := &r.words
	w[0] = 19650218
	for i := uint32(1); i < n; i++ {
		w[i] = 1812433253*(w[i-1]^w[i-1]>>30) + i
	}
	i, j := 1, 0
	for range n {
		w[i] = (w[i] ^ (w[i-1]^w[i-1]>>30)*1664525) + key[j] + uint32(j)
		if i++; i == n {
			w[0], i = w[n-1], 1
		}
		if j++; j == len(key) {
			j = 0
		}
	}
	for range n - 1 {
		w[i] = (w[i] ^ (w[i-1]^w[i-1]>>30)*1566083941) - uint32(i)
		if i++; i == n {
			w[0], i = w[n-1], 1
		}
	}
	w[0] = 1 << 31
}

// Uint32 returns the next 32 bits.
func (r *Rand) Uint32() uint32 {
	if r.at >= n {
		r.twist()
	}
	y := r.words[r.at]
	r.at++
	y ^= y >> 11
	y ^= y << 7 & 0x9d2c5680
	y ^= y << 15 & 0xefc60000
	return y ^ y>>18
}

func (r *Rand) twist() {
	w := &r.words
	for i := range n {
		y := w[i]&(1<<31) | w[(i+1)%n]&(1<<31-1)
		w[i] = w[(i+m)%n] ^ y>>1 ^ -(y&1)&0x9908b0df
	}
	r.at = 0
}

// Float64 returns random(): a multiple of 2**-53 in [0, 1).
func (r *Rand) Float64() float64 {
	a, b := r.Uint32()>>5, r.Uint32()>>6
	return float64(uint64(a)<<26|uint64(b)) * 0x1p-53
}

// Uniform returns uniform(a, b).
func (r *Rand) Uniform(a, b float64) float64 { return a + float64((b-a)*r.Float64()) }

// Below returns _randbelow(limit), a whole number in [0, limit). The limit is at least 1
// and below 1<<32.
func (r *Rand) Below(limit int) int {
	shift := 32 - bits.Len(uint(limit))
	for {
		if v := int(r.Uint32() >> shift); v < limit {
			return v
		}
	}
}

// Sample puts sample(range(limit), len(dst)) into dst, in the order drawn.
// len(dst) is at most limit.
func (r *Rand) Sample(dst []int, limit int) {
	// Python draws few of many by drawing again what it has, else from a pool.
	setSize := 21
	if k := len(dst); k > 5 {
		size := 1
		for size < 3*k { // 4 ** ceil(log(3k, 4))
			size *= 4
		}
		setSize += size
	}
	if limit > setSize {
		for i := range dst {
			for dst[i] = r.Below(limit); slices.Contains(dst[:i], dst[i]); {
				dst[i] = r.Below(limit)
			}
		}
		return
	}
	pool := make([]int, limit)
	for i := range pool {
		pool[i] = i
	}
	for i := range dst {
		j := r.Below(limit - i)
		dst[i] = pool[j]
		pool[j] = pool[limit-i-1]
	}
}

// Gauss returns gauss(mu, sigma).
func (r *Rand) Gauss(mu, sigma float64) float64 {
	z := r.gauss
	if r.spare {
		r.spare, r.gauss = false, 0
	} else {
		angle := r.Float64() * 2 * math.Pi
		radius := math.Sqrt(-2 * libm.Log(1-r.Float64()))
		z = math.Cos(angle) * radius
		r.spare, r.gauss = true, math.Sin(angle)*radius
	}
	return mu + float64(z*sigma)
}

// Exponential returns a draw of river.utils.random.exponential with this rate.
func (r *Rand) Exponential(rate float64) float64 {
	return -libm.Log(1-r.Float64()) / (1 / rate)
}

// Poisson returns a draw of river.utils.random.poisson, which is Knuth's.
func (r *Rand) Poisson(rate float64) int {
	limit := libm.Exp(-rate)
	k := 0
	for p := 1.0; p > limit; k++ {
		p *= r.Float64()
	}
	return k - 1
}

// Append appends the generator's state to an encoding.
func (r *Rand) Append(b []byte) []byte {
	b = state.AppendUint(b, uint64(r.at))
	for _, w := range r.words {
		b = append(b, byte(w), byte(w>>8), byte(w>>16), byte(w>>24))
	}
	if !r.spare {
		return state.AppendUint(b, 0)
	}
	return state.AppendFloat(state.AppendUint(b, 1), r.gauss)
}

// Decode reads what Append has written. Where that is not to be had the decoder
// fails, and the generator is not to be used.
func (r *Rand) Decode(d *state.Decoder) {
	*r = Rand{}
	if r.at = uint32(d.UintUpTo(n)); r.at == 0 {
		d.Fail("holds a random generator that has not begun")
	}
	for i := range r.words {
		r.words[i] = d.Uint32()
	}
	if r.spare = d.Bool(); r.spare {
		r.gauss = d.Float()
	}
}

package stream

import (
	"encoding/binary"
	"hash/maphash"
	"iter"
	"strings"
)

// partitions are lists of rows by name. Millions of them are kept for hours, so
// they lie one after the other in large pieces of text and are found by number:
// the garbage collector, which else took a fifth of the time that a million trips
// took, has no pointer in them to follow. A number stays a partition's as long as
// it has rows. The zero value is not ready: see newPartitions.
type partitions struct {
	seed    maphash.Seed
	mask    uint64      // of hashes: a test makes them collide
	dated   bool        // every row has an until
	named   numberLists // by the hash of the name
	places  []place     // by number
	unused  []uint32    // numbers
	chunks  []*chunk    // nil where there is none any more
	dropped []uint32    // of chunks, where there is none any more
	filling uint32      // the chunk that takes what is new
	size    int         // of the last chunk
}

// place is where a partition is. No size means that there is no such number.
type place struct {
	chunk    uint32
	at, size uint32
}

// chunk is text that is appended to and never changed, so that whoever has a part
// of it as a string may keep it.
type chunk struct {
	built strings.Builder
	text  string // what has been built
	live  int    // bytes of it that are in use
}

// Chunks grow, as most relations are small.
const (
	smallestChunk = 4 << 10
	largestChunk  = 256 << 10
)

func newPartitions() *partitions {
	return &partitions{seed: maphash.MakeSeed(), mask: ^uint64(0)}
}

// reset forgets all. What comes next is thought to be about as much.
func (p *partitions) reset() {
	*p = partitions{seed: p.seed, mask: p.mask, dated: p.dated, size: p.size / 2}
}

func (p *partitions) hash(key []byte) uint64 { return maphash.Bytes(p.seed, key) & p.mask }

// find returns the number of a partition.
func (p *partitions) find(name []byte) (number uint32, ok bool) {
	for n := range p.named.of(p.hash(name)) {
		if p.name(n) == string(name) {
			return n, true
		}
	}
	return 0, false
}

// set makes these the rows of a partition, and untils, if they are dated, when
// each goes. There has to be one at least.
func (p *partitions) set(name string, rows []string, untils []int64) (number uint32) {
	number, ok := p.find([]byte(name))
	if !ok {
		number = p.number()
		p.named.add(p.hash([]byte(name)), number)
	}
	size := recordSize(name, rows, len(untils))
	c := p.room(size)
	was := p.places[number] // room may have moved it
	p.places[number] = place{p.filling, uint32(c.built.Len()), uint32(size)}
	c.write(number, name, rows, untils)
	p.release(was)
	return number
}

// remove forgets a partition, and its number.
func (p *partitions) remove(number uint32) {
	p.named.remove(p.hash([]byte(p.name(number))), number)
	was := p.places[number]
	p.places[number] = place{}
	p.unused = append(p.unused, number)
	p.release(was)
}

// number is one that is not in use.
func (p *partitions) number() uint32 {
	if last := len(p.unused) - 1; last >= 0 {
		n := p.unused[last]
		p.unused = p.unused[:last]
		return n
	}
	p.places = append(p.places, place{})
	return uint32(len(p.places) - 1)
}

// room is the chunk that is filling, which has so many bytes left.
func (p *partitions) room(size int) *chunk {
	full := p.filling
	if len(p.chunks) > 0 {
		if c := p.chunks[full]; c != nil && c.built.Cap()-c.built.Len() >= size {
			return c
		}
	}
	p.size = min(max(2*p.size, smallestChunk), largestChunk)
	c := &chunk{}
	c.built.Grow(max(p.size, size))
	if last := len(p.dropped) - 1; last >= 0 {
		p.filling = p.dropped[last]
		p.dropped = p.dropped[:last]
		p.chunks[p.filling] = c
	} else {
		p.filling = uint32(len(p.chunks))
		p.chunks = append(p.chunks, c)
	}
	if full != p.filling {
		p.tidy(full)
	}
	// What tidy has moved may have filled this one as well.
	return p.room(size)
}

// release gives back where a partition was.
func (p *partitions) release(was place) {
	if was.size == 0 {
		return
	}
	p.chunks[was.chunk].live -= int(was.size)
	p.tidy(was.chunk)
}

// tidy moves what is left of a chunk that is half empty, so that no more than
// twice of what is in use is held.
func (p *partitions) tidy(number uint32) {
	c := p.chunks[number]
	if c == nil || number == p.filling || c.live > len(c.text)/2 {
		return
	}
	p.chunks[number] = nil
	for at := 0; at < len(c.text) && c.live > 0; {
		r := openRecord(c.text[at:])
		size := r.skip(p.dated)
		if here := (place{number, uint32(at), uint32(size)}); p.places[r.number] == here {
			to := p.room(size)
			p.places[r.number] = place{p.filling, uint32(to.built.Len()), uint32(size)}
			to.append(c.text[at : at+size])
			c.live -= size
		}
		at += size
	}
	p.dropped = append(p.dropped, number)
}

// write appends a partition.
func (c *chunk) write(number uint32, name string, rows []string, untils []int64) {
	was := c.built.Len()
	var scratch [binary.MaxVarintLen64]byte
	c.built.Write(binary.LittleEndian.AppendUint32(scratch[:0], number))
	text := func(s string) {
		c.built.Write(binary.AppendUvarint(scratch[:0], uint64(len(s))))
		c.built.WriteString(s)
	}
	text(name)
	c.built.Write(binary.AppendUvarint(scratch[:0], uint64(len(rows))))
	for _, data := range rows {
		text(data)
	}
	for _, until := range untils {
		c.built.Write(binary.LittleEndian.AppendUint64(scratch[:0], uint64(until)))
	}
	c.text = c.built.String()
	c.live += len(c.text) - was
}

func (c *chunk) append(text string) {
	c.built.WriteString(text)
	c.text = c.built.String()
	c.live += len(text)
}

// recordSize is how many bytes write appends.
func recordSize(name string, rows []string, untils int) int {
	size := 4 + textSize(name) + uvarintSize(len(rows)) + 8*untils
	for _, data := range rows {
		size += textSize(data)
	}
	return size
}

func textSize(s string) int { return uvarintSize(len(s)) + len(s) }

func uvarintSize(n int) int {
	size := 1
	for ; n >= 0x80; n >>= 7 {
		size++
	}
	return size
}

// record reads what write has written.
type record struct {
	number uint32
	name   string
	rows   int    // how many are left
	rest   string // of the text
	length int    // of the text
}

func openRecord(text string) record {
	r := record{rest: text[4:], length: len(text)}
	r.number = uint32(text[0]) | uint32(text[1])<<8 | uint32(text[2])<<16 | uint32(text[3])<<24
	r.name = r.text()
	n, size := uvarint(r.rest)
	r.rows, r.rest = int(n), r.rest[size:]
	return r
}

func (r *record) text() string {
	n, size := uvarint(r.rest)
	s := r.rest[size : size+int(n)]
	r.rest = r.rest[size+int(n):]
	return s
}

// next reads a row.
func (r *record) next() string {
	r.rows--
	return r.text()
}

// skip reads to the end, and returns the size of the whole.
func (r *record) skip(dated bool) int {
	n := r.rows
	for r.rows > 0 {
		r.next()
	}
	if dated {
		r.rest = r.rest[8*n:]
	}
	return r.length - len(r.rest)
}

func (p *partitions) open(number uint32) record {
	at := p.places[number]
	return openRecord(p.chunks[at.chunk].text[at.at : at.at+at.size])
}

// name is what a partition is called.
func (p *partitions) name(number uint32) string {
	r := p.open(number)
	return r.name
}

// rows appends the rows of a partition.
func (p *partitions) rows(to []string, number uint32) []string {
	for r := p.open(number); r.rows > 0; {
		to = append(to, r.next())
	}
	return to
}

// untils appends when the rows of a partition go, if they are dated.
func (p *partitions) untils(to []int64, number uint32) []int64 {
	if !p.dated {
		return to
	}
	r := p.open(number)
	for r.rows > 0 {
		r.next()
	}
	for ; r.rest != ""; r.rest = r.rest[8:] {
		to = append(to, int64(fixed64(r.rest[:8])))
	}
	return to
}

// all are the numbers of all partitions.
func (p *partitions) all() iter.Seq[uint32] {
	return func(yield func(uint32) bool) {
		for n, at := range p.places {
			if at.size > 0 && !yield(uint32(n)) {
				return
			}
		}
	}
}

// has reports whether there is a partition of this number.
func (p *partitions) has(number uint32) bool {
	return int(number) < len(p.places) && p.places[number].size > 0
}

// numberLists are lists of numbers by a hash. Nearly all are of one.
type numberLists struct {
	one  map[uint64]uint32
	more map[uint64][]uint32 // where there is more than one, or was
}

func (n *numberLists) add(hash uint64, number uint32) {
	if n.one == nil {
		n.one, n.more = map[uint64]uint32{}, map[uint64][]uint32{}
	}
	if all, ok := n.more[hash]; ok {
		n.more[hash] = append(all, number)
		return
	}
	if first, ok := n.one[hash]; ok {
		delete(n.one, hash)
		n.more[hash] = []uint32{first, number}
		return
	}
	n.one[hash] = number
}

// remove takes a number out of a list once.
func (n *numberLists) remove(hash uint64, number uint32) {
	all, ok := n.more[hash]
	if !ok {
		if n.one[hash] == number {
			delete(n.one, hash)
		}
		return
	}
	for i, o := range all {
		if o != number {
			continue
		}
		if i == 0 { // they leave in about the order in which they came
			all = all[1:]
		} else {
			all = append(all[:i], all[i+1:]...)
		}
		break
	}
	if len(all) == 0 {
		delete(n.more, hash)
	} else {
		n.more[hash] = all
	}
}

// of are the numbers of a hash, in the order in which they came.
func (n *numberLists) of(hash uint64) iter.Seq[uint32] {
	return func(yield func(uint32) bool) {
		if number, ok := n.one[hash]; ok {
			yield(number)
			return
		}
		for _, number := range n.more[hash] {
			if !yield(number) {
				return
			}
		}
	}
}

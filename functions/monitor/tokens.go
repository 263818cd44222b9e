package monitor

import (
	"crypto/sha256"
	"crypto/subtle"
	"hash/maphash"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"
)

// How often an address may be wrong, within what time, before it has to wait for
// the rest of it.
const (
	maxWrong    = 10
	wrongWithin = time.Minute
)

// tokens tells who knows the token.
//
// Addresses share a fixed number of slots by a hash that nobody outside can
// foresee, so that the memory is bounded whoever asks: now and then two that have
// nothing to do with each other wait for each other.
type tokens struct {
	want [sha256.Size]byte
	now  func() time.Time
	seed maphash.Seed

	mu    sync.Mutex
	slots [1024]attempts
}

type attempts struct {
	wrong int
	since time.Time // of the first of them
}

func newTokens(token string) *tokens {
	return &tokens{want: sha256.Sum256([]byte(token)), now: time.Now, seed: maphash.MakeSeed()}
}

// verdict is what a request's token is worth.
type verdict int

const (
	known   verdict = iota
	missing         // there is none
	wrong
	blocked // wrong too often, so that it was not looked at
)

// judge returns, for one that is blocked, for how long.
func (t *tokens) judge(r *http.Request) (verdict, time.Duration) {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") || token == "" {
		return missing, 0
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	slot := &t.slots[maphash.String(t.seed, addressOf(r))%uint64(len(t.slots))]
	now := t.now()
	wait := wrongWithin - now.Sub(slot.since)
	if wait <= 0 {
		*slot = attempts{}
	}
	if slot.wrong >= maxWrong {
		return blocked, wait
	}
	// Of hashes, so that neither the time it takes nor its length tells anything.
	got := sha256.Sum256([]byte(token))
	if subtle.ConstantTimeCompare(got[:], t.want[:]) == 1 {
		return known, 0
	}
	if slot.wrong == 0 {
		slot.since = now
	}
	slot.wrong++
	return wrong, 0
}

// addressOf is who asks, as far as addresses tell: of IPv6 the network, since
// its owner has all addresses in it. What a proxy says of whom it asks for is not
// believed.
func addressOf(r *http.Request) string {
	at, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	address := at.Addr().Unmap()
	if address.Is4() {
		return address.String()
	}
	network, err := address.WithZone("").Prefix(64)
	if err != nil {
		return address.String()
	}
	return network.String()
}

package control

import (
	"net"
	"net/netip"
	"sync"
	"time"
)

// What strangers may use up.
const (
	maxUnproven          = 128 // connections of those that are not proven members, in all
	maxUnprovenPerSource = 16  // of one source
	joinBurst            = 10  // attempts to join from one source, then one each joinInterval
	joinInterval         = time.Second
	maxJoinSources       = 1024
)

// sourceOf is what limits count by: an IPv4 address or an IPv6 /64, since one
// host has all of the latter to itself.
func sourceOf(addr net.Addr) netip.Prefix {
	ap, err := netip.ParseAddrPort(addr.String())
	if err != nil {
		return netip.Prefix{} // not IP: all are one source
	}
	ip := ap.Addr().Unmap().WithZone("")
	bits := ip.BitLen()
	if ip.Is6() {
		bits = 64
	}
	prefix, _ := ip.Prefix(bits) // the length fits the family
	return prefix
}

// unproven counts connections that are in their handshake or are a stranger's.
type unproven struct {
	mu       sync.Mutex // guards all following fields
	total    int
	bySource map[netip.Prefix]int
}

// take counts a connection; release must be called when it is proven or closed
// and may be called twice. ok is false if there are too many.
func (u *unproven) take(source netip.Prefix) (release func(), ok bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.total >= maxUnproven || u.bySource[source] >= maxUnprovenPerSource {
		return nil, false
	}
	u.total++
	u.bySource[source]++
	return sync.OnceFunc(func() { u.release(source) }), true
}

func (u *unproven) release(source netip.Prefix) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.total--
	if u.bySource[source]--; u.bySource[source] == 0 {
		delete(u.bySource, source)
	}
}

// joinRate bounds attempts to join by a token bucket for each source. Secrets of
// 256 bits are not guessed; it is the work and the log lines that are bounded.
type joinRate struct {
	now func() time.Time

	mu    sync.Mutex // guards all following fields
	spent map[netip.Prefix]bucket
}

// bucket says when it will be full again: each attempt moves that time on.
type bucket struct{ full time.Time }

// allow takes one attempt out of the source's bucket.
func (j *joinRate) allow(source netip.Prefix) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	now := j.now()
	if len(j.spent) >= maxJoinSources {
		j.forget(now)
	}
	full := j.spent[source].full
	if full.Before(now) {
		full = now
	}
	full = full.Add(joinInterval)
	if full.Sub(now) > joinBurst*joinInterval {
		return false
	}
	if _, known := j.spent[source]; !known && len(j.spent) >= maxJoinSources {
		return false
	}
	j.spent[source] = bucket{full: full}
	return true
}

// forget drops the buckets that are full.
func (j *joinRate) forget(now time.Time) {
	for source, b := range j.spent {
		if !b.full.After(now) {
			delete(j.spent, source)
		}
	}
}

package control

import (
	"net"
	"net/netip"
	"sync"
	"time"
)

// Limits for callers that are not verified members.
const (
	joinBurst      = 10 // calls of Join from one source at once, then one each joinInterval
	joinInterval   = time.Second
	maxJoinSources = 1024
)

// sourceOf returns the unit that limits apply to: an IPv4 address, or an IPv6 /64,
// because one host usually has a whole /64.
func sourceOf(addr net.Addr) netip.Prefix {
	ap, err := netip.ParseAddrPort(addr.String())
	if err != nil {
		return netip.Prefix{} // not IP: all of these are one source
	}
	ip := ap.Addr().Unmap().WithZone("")
	bits := ip.BitLen()
	if ip.Is6() {
		bits = 64
	}
	prefix, _ := ip.Prefix(bits) // the length fits the family
	return prefix
}

// joinRate limits calls of Join with one token bucket for each source. It limits
// the work and the log lines that a caller causes: secrets have 256 bits and need
// no protection against guessing.
type joinRate struct {
	now func() time.Time

	mu      sync.Mutex                 // guards buckets
	buckets map[netip.Prefix]time.Time // when each will be full again; full ones may be absent
}

// allow takes one call out of the source's bucket and reports whether that was
// possible.
func (j *joinRate) allow(source netip.Prefix) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	now := j.now()
	if len(j.buckets) >= maxJoinSources {
		j.removeFull(now)
	}
	full, exists := j.buckets[source]
	if full.Before(now) {
		full = now
	}
	full = full.Add(joinInterval)
	if full.Sub(now) > joinBurst*joinInterval {
		return false
	}
	if !exists && len(j.buckets) >= maxJoinSources {
		return false
	}
	j.buckets[source] = full
	return true
}

func (j *joinRate) removeFull(now time.Time) {
	for source, full := range j.buckets {
		if !full.After(now) {
			delete(j.buckets, source)
		}
	}
}

// Package limit limits what callers that are not verified members use of the control port:
// connections, and calls of Join.
package limit

import (
	"net"
	"net/netip"
	"sync"
	"time"
)

// Limits for calls of Join.
const (
	joinBurst      = 10 // calls of Join from one source at once, then one each joinInterval
	joinInterval   = time.Second
	maxJoinSources = 1024
)

// SourceOf returns the unit that limits apply to: an IPv4 address, or an IPv6 /64,
// because one host usually has a whole /64.
func SourceOf(addr net.Addr) netip.Prefix {
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

// JoinRate limits calls of Join with one token bucket for each source. It limits
// the work and the log lines that a caller causes: secrets have 256 bits and need
// no protection against guessing.
type JoinRate struct {
	now func() time.Time

	mu      sync.Mutex                 // guards buckets
	buckets map[netip.Prefix]time.Time // when each will be full again; full ones may be absent
}

// NewJoinRate returns a rate with full buckets. now returns the current time.
func NewJoinRate(now func() time.Time) *JoinRate {
	return &JoinRate{now: now, buckets: make(map[netip.Prefix]time.Time)}
}

// Allow takes one call out of the source's bucket and reports whether that was
// possible.
func (j *JoinRate) Allow(source netip.Prefix) bool {
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

func (j *JoinRate) removeFull(now time.Time) {
	for source, full := range j.buckets {
		if !full.After(now) {
			delete(j.buckets, source)
		}
	}
}

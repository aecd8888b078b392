// Package keys has the keys of records, which have parts and may have a time.
package keys

import (
	"cmp"
	"strings"
	"time"
)

// maxParts is how many parts a key has at most.
const maxParts = 5

// Key is the key of a record in an index. Keys sort by their time, then part by part.
type Key struct {
	seconds     int64
	nanoseconds int
	parts       [maxParts]string
}

// Of returns the key with the given parts, at most five.
func Of(parts ...string) Key {
	var k Key
	copy(k.parts[:], parts)
	return k
}

// At returns the key with a time and the given parts, at most five.
func At(t time.Time, parts ...string) Key {
	k := Of(parts...)
	k.seconds, k.nanoseconds = t.Unix(), t.Nanosecond()
	return k
}

// Probe selects keys. It holds a pointer, since a key is large.
type Probe struct {
	key   *Key
	parts int // how many must be equal; -1: the key as a whole
}

// Whole returns the probe that selects k.
func Whole(k *Key) Probe { return Probe{k, -1} }

// Prefix returns the probe that selects the keys that begin with the first n parts of
// k, at any time.
func Prefix(k *Key, n int) Probe { return Probe{k, n} }

// IsWhole reports whether p selects one key at most.
func (p Probe) IsWhole() bool { return p.parts < 0 }

// IsAll reports whether p selects all keys.
func (p Probe) IsAll() bool { return p.parts == 0 }

// Compare returns 0 if p selects k, a negative number if k is before what p selects,
// and a positive one if it is after it.
func (p Probe) Compare(k *Key) int {
	n := p.parts
	if n < 0 {
		n = maxParts
		if k.seconds != p.key.seconds || k.nanoseconds != p.key.nanoseconds {
			return cmp.Or(cmp.Compare(k.seconds, p.key.seconds), cmp.Compare(k.nanoseconds, p.key.nanoseconds))
		}
	}
	for i := range n {
		if c := strings.Compare(k.parts[i], p.key.parts[i]); c != 0 {
			return c
		}
	}
	return 0
}

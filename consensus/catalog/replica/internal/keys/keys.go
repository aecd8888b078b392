// Package keys has the keys of records, which have parts and may have a time.
package keys

import (
	"cmp"
	"slices"
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

// Compare returns a negative number if k is before other, 0 if they are equal, and a
// positive one if it is after it.
func (k *Key) Compare(other *Key) int {
	if k.seconds != other.seconds || k.nanoseconds != other.nanoseconds {
		return cmp.Or(cmp.Compare(k.seconds, other.seconds), cmp.Compare(k.nanoseconds, other.nanoseconds))
	}
	for i := range k.parts {
		if c := strings.Compare(k.parts[i], other.parts[i]); c != 0 {
			return c
		}
	}
	return 0
}

// HasParts reports whether k begins with parts.
func (k *Key) HasParts(parts []string) bool { return slices.Equal(k.parts[:len(parts)], parts) }

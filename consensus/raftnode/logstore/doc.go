// Package logstore keeps raft's log in a directory of segments. A batch of entries
// costs one write and one fdatasync. Each record has a checksum that covers its index
// and its term.
//
// When a directory is opened, what a crash left of a batch that was not acknowledged
// is removed. Damage to anything that was acknowledged is an error with file and
// offset, and changes nothing. DESIGN.md has the format and the rule by which the two
// differ.
package logstore

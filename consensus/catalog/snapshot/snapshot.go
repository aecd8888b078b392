// Package snapshot is the format of snapshots of the catalog: a stream of records, each
// preceded by its length as a varint. The first is a header, the last a trailer with
// the checksum of all before it. The content of the other records, and their order,
// are those of package replica.
package snapshot

import "errors"

// Version is the version of the format, in the header.
const Version = 1

// ErrInvalid reports that a snapshot is truncated, altered or of a newer version of
// meshd, or that the bytes are not a snapshot.
var ErrInvalid = errors.New("not a valid snapshot of a catalog")

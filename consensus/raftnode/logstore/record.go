package logstore

import (
	"encoding/binary"
	"hash/crc32"
	"time"

	"github.com/hashicorp/raft"
)

const (
	recordHeader = 48
	alignment    = 8 // of records
)

// kind is the meaning of a record.
type kind uint8

const (
	kindEntry    kind = 1
	kindTruncate kind = 2 // removes all entries after its index
	kindMark     kind = 3 // all before it is on the disk; the next batch replaces it
)

// record is one record of a segment.
type record struct {
	kind   kind
	synced int // offset up to which the segment was on the disk when the record was written
	size   int // in the segment, with header and padding
	log    raft.Log
}

// castagnoli returns the table, which the library makes once.
func castagnoli() *crc32.Table { return crc32.MakeTable(crc32.Castagnoli) }

// checksum returns the checksum of a record. It covers the place of the record: a
// copy of a record elsewhere, for example in the data of an entry, is none. salt is
// random for each segment, so that no author of an entry can compute it.
func checksum(salt uint64, offset int, data []byte) uint32 {
	var place [12]byte
	binary.LittleEndian.PutUint64(place[:], salt)
	binary.LittleEndian.PutUint32(place[8:], uint32(offset)) //nolint:gosec // below maxSegment
	return crc32.Update(crc32.Checksum(place[:], castagnoli()), castagnoli(), data)
}

// sizeOf returns the size of the record of an entry.
func sizeOf(log *raft.Log) int {
	return (recordHeader + len(log.Data) + len(log.Extensions) + alignment - 1) &^ (alignment - 1)
}

// appendRecord appends a record to buf, for a place at offset in a segment.
func appendRecord(buf []byte, salt uint64, offset int, r record) []byte {
	start := len(buf)
	buf = append(buf, make([]byte, recordHeader)...)
	buf = append(append(buf, r.log.Data...), r.log.Extensions...)
	for len(buf)%alignment != start%alignment {
		buf = append(buf, 0)
	}
	b, le := buf[start:], binary.LittleEndian
	le.PutUint32(b[4:], uint32(len(r.log.Data)+len(r.log.Extensions))) //nolint:gosec // below maxSegment
	le.PutUint64(b[8:], r.log.Index)
	le.PutUint64(b[16:], r.log.Term)
	if at := r.log.AppendedAt; !at.IsZero() {
		le.PutUint64(b[24:], uint64(at.UnixNano())) //nolint:gosec // the bits
	}
	le.PutUint32(b[32:], uint32(r.synced))              //nolint:gosec // below maxSegment
	le.PutUint32(b[36:], uint32(len(r.log.Extensions))) //nolint:gosec // below maxSegment
	b[40], b[41] = byte(r.kind), byte(r.log.Type)
	le.PutUint32(b, checksum(salt, offset, b[4:]))
	return buf
}

// decodeRecord decodes the record at the beginning of data, which is at offset in its
// segment; false: there is none. The record refers to data.
func decodeRecord(data []byte, salt uint64, offset int) (record, bool) {
	if len(data) < recordHeader {
		return record{}, false
	}
	le := binary.LittleEndian
	r := record{kind: kind(data[40]), synced: int(le.Uint32(data[32:]))}
	payload, extensions := int(le.Uint32(data[4:])), int(le.Uint32(data[36:]))
	if r.kind < kindEntry || r.kind > kindMark || r.synced > offset || extensions > payload || payload > len(data)-recordHeader {
		return record{}, false
	}
	r.size = (recordHeader + payload + alignment - 1) &^ (alignment - 1)
	if r.size > len(data) || checksum(salt, offset, data[4:r.size]) != le.Uint32(data) {
		return record{}, false
	}
	r.log = raft.Log{Index: le.Uint64(data[8:]), Term: le.Uint64(data[16:]), Type: raft.LogType(data[41])}
	if nanos := int64(le.Uint64(data[24:])); nanos != 0 { //nolint:gosec // the bits
		r.log.AppendedAt = time.Unix(0, nanos).UTC()
	}
	end := recordHeader + payload
	if split := end - extensions; split > recordHeader {
		r.log.Data = data[recordHeader:split:split]
	}
	if extensions > 0 {
		r.log.Extensions = data[end-extensions : end : end]
	}
	return r, true
}

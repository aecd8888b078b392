package logstore

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"strings"
)

const (
	segmentHeader = 64
	firstSegment  = 256 << 10
	segmentSize   = 4 << 20 // of the largest, unless one batch needs more
	maxSegment    = 1 << 30
	pageSize      = 4096
	suffix        = ".log"
	unfinished    = ".tmp"
)

const magic = "mwrlog\x00\x01"

// segment is one file. It is written from its beginning to its end, and allocated when
// it is created, so that a later write needs no space and changes no metadata.
type segment struct {
	number   uint64 // counts up by one
	salt     uint64
	capacity int // bytes
	previous int // offset of the end of the segment before this one
	end      int // offset of the next record
	file     file
}

func segmentName(number uint64) string { return fmt.Sprintf("%020d%s", number, suffix) }

// parseName returns the number of a segment; false: the file is none.
func parseName(name string) (uint64, bool) {
	digits, ok := strings.CutSuffix(name, suffix)
	if !ok {
		return 0, false
	}
	var number uint64
	if _, err := fmt.Sscanf(digits, "%d", &number); err != nil || segmentName(number) != name {
		return 0, false
	}
	return number, true
}

func (s *segment) name() string { return segmentName(s.number) }

// header returns the content of the segment's header.
func (s *segment) header() []byte {
	b, le := make([]byte, segmentHeader), binary.LittleEndian
	copy(b, magic)
	le.PutUint64(b[8:], s.number)
	le.PutUint64(b[16:], s.salt)
	le.PutUint32(b[24:], uint32(s.capacity)) //nolint:gosec // below maxSegment
	le.PutUint32(b[28:], uint32(s.previous)) //nolint:gosec // below maxSegment
	le.PutUint32(b[60:], crc32.Checksum(b[:60], castagnoli()))
	return b
}

// parseHeader returns the segment of a file with that content.
func parseHeader(data []byte) (*segment, error) {
	if len(data) < segmentHeader {
		return nil, fmt.Errorf("the file has %d bytes", len(data))
	}
	le := binary.LittleEndian
	if le.Uint32(data[60:]) != crc32.Checksum(data[:60], castagnoli()) || string(data[:8]) != magic {
		return nil, errors.New("the header is not valid")
	}
	s := &segment{
		number: le.Uint64(data[8:]), salt: le.Uint64(data[16:]),
		capacity: int(le.Uint32(data[24:])), previous: int(le.Uint32(data[28:])),
		end: segmentHeader,
	}
	if len(data) < s.capacity {
		return nil, fmt.Errorf("the file has %d bytes of %d", len(data), s.capacity)
	}
	return s, nil
}

// createSegment creates a segment with room for records of need bytes. It has its
// name when all of it is on the disk.
func createSegment(dir files, number uint64, previous, size, need int) (*segment, error) {
	var salt [8]byte
	_, _ = rand.Read(salt[:]) // it never fails
	s := &segment{
		number: number, salt: binary.LittleEndian.Uint64(salt[:]), previous: previous,
		capacity: max(size, segmentHeader+need+recordHeader), end: segmentHeader,
	}
	temporary := s.name() + unfinished
	f, err := dir.Create(temporary)
	if err != nil {
		return nil, err
	}
	s.file = f
	if err := s.allocate(); err != nil {
		return nil, abandon(dir, f, temporary, err)
	}
	if err := dir.Rename(temporary, s.name()); err != nil {
		return nil, abandon(dir, f, temporary, err)
	}
	return s, nil
}

// allocate writes the header and zeros, page by page: the kernel keeps what is written
// at once together in memory, and would count all of it as changed by each small write.
func (s *segment) allocate() error {
	page := make([]byte, pageSize)
	copy(page, s.header())
	for offset := 0; offset < s.capacity; offset += pageSize {
		if _, err := s.file.WriteAt(page[:min(pageSize, s.capacity-offset)], int64(offset)); err != nil {
			return err
		}
		clear(page)
	}
	return s.file.Sync()
}

// abandon removes a segment that was not finished. Its errors add nothing to err: the
// next Open removes the file too.
func abandon(dir files, f file, name string, err error) error {
	_ = f.Close()
	_ = dir.Remove(name)
	return err
}

// room reports whether a batch of need bytes and a mark fit into the segment.
func (s *segment) room(need int) bool { return s.end+need+recordHeader <= s.capacity }

// walk calls visit for each record from the beginning of the segment to limit, and
// returns the end of the last one.
func (s *segment) walk(data []byte, limit int, visit func(r record, offset int) error) (end int, err error) {
	offset := segmentHeader
	for offset < limit {
		r, ok := decodeRecord(data[offset:limit], s.salt, offset)
		if !ok || r.kind == kindMark {
			break
		}
		if err := visit(r, offset); err != nil {
			return offset, err
		}
		offset += r.size
	}
	return offset, nil
}

// proved returns the offset up to which the segment was on the disk according to the
// records between from and to.
func (s *segment) proved(data []byte, from, to int) int {
	largest := 0
	for offset := from; offset < to; offset += alignment {
		if r, ok := decodeRecord(data[offset:], s.salt, offset); ok {
			largest = max(largest, r.synced)
		}
	}
	return largest
}

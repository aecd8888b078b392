package state

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
)

// A journal is a header and records; zeros follow. All numbers are little endian.
//
//	header   magic and version (8), salt (8), capacity of the file (8), zero (4), CRC-32C (4)
//	record   CRC-32C (4), bytes of content + 1 (4), content, padding to 8 bytes
//
// The file is allocated when it is created, so that a record needs no space and changes
// no metadata. One update is one record, and is written when the one before is on the
// disk: a valid record behind one that is not valid proves that this one was
// acknowledged. So that the last one is proved too, a mark (a record without content)
// follows it, which is written without a sync and replaced by the next record.
const (
	journalHeader = 32
	recordHeader  = 8
	alignment     = 8
	pageSize      = 4096
)

const magic = "mwstate\x01"

func castagnoli() *crc32.Table { return crc32.MakeTable(crc32.Castagnoli) }

// recordSize returns the size of a record with n bytes of content.
func recordSize(n int) int { return (recordHeader + n + alignment - 1) &^ (alignment - 1) }

// journalFile is a journal that is written.
type journalFile struct {
	file     diskFile
	salt     uint64
	capacity int
	end      int // offset of the next record
}

// createJournal replaces the journal at path by one with one record, and at least size
// bytes.
func createJournal(d disk, path string, record []byte, size int) (*journalFile, error) {
	var salt [8]byte
	_, _ = rand.Read(salt[:]) // it never fails
	f := &journalFile{salt: binary.LittleEndian.Uint64(salt[:]), end: journalHeader + recordSize(len(record))}
	f.capacity = max(size, 2*f.end) // so that it is replaced after as much as it has
	data := f.header()
	data = appendRecord(data, f.salt, journalHeader, record)
	data = appendRecord(data, f.salt, f.end, nil)
	var err error
	f.file, err = replaceFile(d, path, data, f.capacity)
	return f, err
}

func (f *journalFile) header() []byte {
	b, le := make([]byte, journalHeader), binary.LittleEndian
	copy(b, magic)
	le.PutUint64(b[8:], f.salt)
	le.PutUint64(b[16:], uint64(f.capacity)) //nolint:gosec // positive
	le.PutUint32(b[28:], crc32.Checksum(b[:28], castagnoli()))
	return b
}

// room reports whether a record with n bytes of content and a mark fit.
func (f *journalFile) room(n int) bool { return f.end+recordSize(n)+recordHeader <= f.capacity }

// append writes a record and brings it to the disk.
func (f *journalFile) append(record []byte) error {
	data := appendRecord(nil, f.salt, f.end, record)
	if _, err := f.file.WriteAt(data, int64(f.end)); err != nil {
		return err
	}
	if err := f.file.Sync(); err != nil {
		return err
	}
	f.end += len(data)
	_, err := f.file.WriteAt(appendRecord(nil, f.salt, f.end, nil), int64(f.end))
	return err
}

// appendRecord appends a record to buf, for a place at offset in the file.
func appendRecord(buf []byte, salt uint64, offset int, content []byte) []byte {
	b := make([]byte, recordSize(len(content)))
	copy(b[recordHeader:], content)
	binary.LittleEndian.PutUint32(b[4:], uint32(len(content)+1)) //nolint:gosec // below the capacity
	binary.LittleEndian.PutUint32(b, recordSum(salt, offset, b[4:]))
	return append(buf, b...)
}

// recordSum covers the place of a record and the salt of the file: a copy of a record
// elsewhere, such as in the content of another one, is not valid.
func recordSum(salt uint64, offset int, data []byte) uint32 {
	var place [16]byte
	binary.LittleEndian.PutUint64(place[:], salt)
	binary.LittleEndian.PutUint64(place[8:], uint64(offset)) //nolint:gosec // positive
	return crc32.Update(crc32.Checksum(place[:], castagnoli()), castagnoli(), data)
}

// decodeRecord returns the content and the size of the record at offset; false: there is
// no valid one.
func decodeRecord(data []byte, salt uint64, offset int) (content []byte, size int, ok bool) {
	rest, le := data[offset:], binary.LittleEndian
	if len(rest) < recordHeader {
		return nil, 0, false
	}
	n := int(le.Uint32(rest[4:])) - 1
	if n < 0 || n > len(rest)-recordHeader || recordSize(n) > len(rest) {
		return nil, 0, false
	}
	size = recordSize(n)
	if recordSum(salt, offset, rest[4:size]) != le.Uint32(rest) {
		return nil, 0, false
	}
	return rest[recordHeader : recordHeader+n], size, true
}

// walkJournal calls visit with the content of each record of a journal.
func walkJournal(data []byte, visit func(content []byte) error) error {
	le := binary.LittleEndian
	if len(data) < journalHeader || string(data[:len(magic)]) != magic || le.Uint32(data[28:]) != crc32.Checksum(data[:28], castagnoli()) {
		return errors.New("its header is not valid")
	}
	salt, capacity := le.Uint64(data[8:]), le.Uint64(data[16:])
	if uint64(len(data)) != capacity {
		return fmt.Errorf("it has %d bytes instead of %d", len(data), capacity)
	}
	offset := journalHeader
	for {
		content, size, ok := decodeRecord(data, salt, offset)
		if !ok {
			break
		}
		if len(content) == 0 {
			return nil // a mark
		}
		if err := visit(content); err != nil {
			return fmt.Errorf("the record at byte %d: %w", offset, err)
		}
		offset += size
	}
	if offset == journalHeader {
		return fmt.Errorf("the record at byte %d is not valid", offset) // it was on the disk before the file had its name
	}
	for later := offset + alignment; later+recordHeader <= len(data); later += alignment {
		if _, _, ok := decodeRecord(data, salt, later); ok {
			return fmt.Errorf("the record at byte %d is not valid, and there is a later one", offset)
		}
	}
	return nil
}

package snapshot

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"io"

	"google.golang.org/protobuf/proto"

	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/catalogpb"
)

// Read reads a snapshot that Write wrote, up to the end of r, calls add for each record
// in order and returns the raft index. The error is ErrInvalid, also for an error of
// add, or an error of r. Records are added before the checksum is known to be right.
func Read(r io.Reader, add func(*catalogpb.Record) error) (index uint64, err error) {
	d := &decoder{r: bufio.NewReader(r), sum: sha256.New()}
	if index, err = d.decode(add); err != nil {
		return 0, fmt.Errorf("read snapshot, record %d: %w", d.records, err)
	}
	return index, nil
}

type decoder struct {
	r       *bufio.Reader
	sum     hash.Hash
	records uint64
	buffer  bytes.Buffer // of the last record
}

func (d *decoder) decode(add func(*catalogpb.Record) error) (index uint64, err error) {
	first, raw, err := d.next()
	if err != nil {
		return 0, err
	}
	header := first.GetHeader()
	if header == nil || header.GetVersion() != Version {
		return 0, fmt.Errorf("%w: no header of version %d", ErrInvalid, Version)
	}
	d.sum.Write(raw)
	for {
		record, raw, err := d.next()
		if err != nil {
			return 0, err
		}
		if trailer := record.GetTrailer(); trailer != nil {
			return header.GetIndex(), d.checkTrailer(trailer)
		}
		d.sum.Write(raw)
		d.records++
		if err := add(record); err != nil {
			return 0, fmt.Errorf("%w: %w", ErrInvalid, err)
		}
	}
}

// checkTrailer checks the count and the sum of the records and that nothing follows.
func (d *decoder) checkTrailer(trailer *catalogpb.Trailer) error {
	if trailer.GetRecords() != d.records || !bytes.Equal(trailer.GetSha256(), d.sum.Sum(nil)) {
		return fmt.Errorf("%w: the checksum differs", ErrInvalid)
	}
	switch _, err := d.r.ReadByte(); {
	case err == nil:
		return fmt.Errorf("%w: data follows its end", ErrInvalid)
	case !errors.Is(err, io.EOF):
		return err
	}
	return nil
}

// next reads one record and returns it with its encoding, which the sum covers, and
// which is valid until the following call.
func (d *decoder) next() (*catalogpb.Record, []byte, error) {
	size, err := d.size()
	if err != nil {
		return nil, nil, err
	}
	raw := &d.buffer
	raw.Reset()
	raw.Write(binary.AppendUvarint(raw.AvailableBuffer(), size))
	header := raw.Len()
	// CopyN grows the buffer as it reads: the size may be forged.
	if _, err := io.CopyN(raw, d.r, int64(size)); err != nil {
		return nil, nil, truncated(err)
	}
	if err := checkSize(raw.Bytes()[header:]); err != nil {
		return nil, nil, err
	}
	record := &catalogpb.Record{}
	// Unknown fields are those of the stored results of earlier builds, or of newer ones.
	if err := (proto.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(raw.Bytes()[header:], record); err != nil {
		return nil, nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	return record, raw.Bytes(), nil
}

// size reads a varint. binary.ReadUvarint does not distinguish a number that is too
// large from an error of the reader.
func (d *decoder) size() (uint64, error) {
	var size uint64
	for shift := 0; ; shift += 7 {
		b, err := d.r.ReadByte()
		if err != nil {
			return 0, truncated(err)
		}
		size |= uint64(b&0x7f) << shift
		if size > catalog.MaxRecordSize || shift > 28 {
			return 0, fmt.Errorf("%w: a record has more than %d bytes", ErrInvalid, catalog.MaxRecordSize)
		}
		if b < 0x80 {
			return size, nil
		}
	}
}

func truncated(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("%w: it ends too early", ErrInvalid)
	}
	return err
}

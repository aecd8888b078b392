package snapshot

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"hash"
	"io"
	"iter"

	"google.golang.org/protobuf/encoding/protodelim"
	"google.golang.org/protobuf/proto"

	"github.com/meshway/meshway/consensus/catalog/catalogpb"
)

// Write writes a snapshot at a raft index. Equal records have equal snapshots. Write
// holds one record in memory at a time, and calls w.Write once for each.
func Write(w io.Writer, index uint64, records iter.Seq[*catalogpb.Record]) error {
	e := &encoder{w: w, sum: sha256.New()}
	e.write(&catalogpb.Record{Body: &catalogpb.Record_Header{Header: &catalogpb.Header{
		Version: Version, Index: index,
	}}})
	for record := range records {
		e.write(record)
		e.records++
		if e.err != nil {
			break
		}
	}
	e.write(&catalogpb.Record{Body: &catalogpb.Record_Trailer{Trailer: &catalogpb.Trailer{
		Records: e.records, Sha256: e.sum.Sum(nil),
	}}})
	if e.err != nil {
		return fmt.Errorf("write snapshot: %w", e.err)
	}
	return nil
}

type encoder struct {
	w       io.Writer
	sum     hash.Hash
	records uint64
	buffer  bytes.Buffer
	err     error // the first one; nothing is written after it
}

func (e *encoder) write(record *catalogpb.Record) {
	if e.err != nil {
		return
	}
	e.buffer.Reset()
	options := protodelim.MarshalOptions{MarshalOptions: proto.MarshalOptions{Deterministic: true}}
	if _, e.err = options.MarshalTo(&e.buffer, record); e.err != nil {
		return
	}
	e.sum.Write(e.buffer.Bytes())
	_, e.err = e.w.Write(e.buffer.Bytes())
}

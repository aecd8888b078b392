package catalog

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"hash"
	"io"
	"iter"

	"github.com/hashicorp/go-memdb"
	"google.golang.org/protobuf/encoding/protodelim"
	"google.golang.org/protobuf/proto"

	"github.com/meshway/meshway/consensus/catalog/catalogpb"
)

// A snapshot is a stream of records, each preceded by its length as a varint: a
// header, the records of each table in the order of their keys, and a trailer.

const snapshotVersion = 1

// Encode writes the view as a snapshot. Equal views have equal snapshots. Encode
// holds one record in memory at a time.
func (v *View) Encode(w io.Writer) error {
	e := &encoder{w: w, sum: sha256.New()}
	e.write(&catalogpb.Record{Body: &catalogpb.Record_Header{Header: &catalogpb.Header{
		Version: snapshotVersion, Index: v.Index(),
	}}})
	for record := range records(v.txn) {
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

// records yields the records between header and trailer. A record follows those
// that it refers to, because Decode checks the references as it reads.
func records(txn *memdb.Txn) iter.Seq[*catalogpb.Record] {
	return func(yield func(*catalogpb.Record) bool) {
		_ = eachRecord(txn, tableFederation, yield, func(f *Federation) *catalogpb.Record {
			return &catalogpb.Record{Body: &catalogpb.Record_Federation{Federation: f.Proto()}}
		}) && eachRecord(txn, tableDatacenters, yield, func(d *Datacenter) *catalogpb.Record {
			return &catalogpb.Record{Body: &catalogpb.Record_Datacenter{Datacenter: d.Proto()}}
		}) && eachRecord(txn, tableGateways, yield, func(g *Gateway) *catalogpb.Record {
			return &catalogpb.Record{Body: &catalogpb.Record_Gateway{Gateway: g.Proto()}}
		}) && eachRecord(txn, tableTokens, yield, func(t *Token) *catalogpb.Record {
			return &catalogpb.Record{Body: &catalogpb.Record_Token{Token: t.Proto()}}
		}) && eachRecord(txn, tableServices, yield, func(s *Service) *catalogpb.Record {
			return &catalogpb.Record{Body: &catalogpb.Record_Service{Service: s.Proto()}}
		}) && eachRecord(txn, tableObservations, yield, func(o *Observation) *catalogpb.Record {
			return &catalogpb.Record{Body: &catalogpb.Record_Observation{Observation: o.Proto()}}
		}) && eachRecord(txn, tableClients, yield, func(c *client) *catalogpb.Record {
			return &catalogpb.Record{Body: &catalogpb.Record_Client{Client: clientProto(c)}}
		}) && eachRecord(txn, tableExports, yield, func(e *Export) *catalogpb.Record {
			return &catalogpb.Record{Body: &catalogpb.Record_Export{Export: e.Proto()}}
		}) && eachRecord(txn, tableEndpoints, yield, func(s *EndpointSlice) *catalogpb.Record {
			return &catalogpb.Record{Body: &catalogpb.Record_EndpointSlice{EndpointSlice: s.Proto()}}
		})
	}
}

func eachRecord[T any](txn *memdb.Txn, table string, yield func(*catalogpb.Record) bool,
	wrap func(*T) *catalogpb.Record,
) bool {
	for r := range each[T](txn, table, indexID) {
		if !yield(wrap(r)) {
			return false
		}
	}
	return true
}

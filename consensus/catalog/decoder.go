package catalog

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"io"
	"maps"
	"slices"

	"github.com/hashicorp/go-memdb"
	"google.golang.org/protobuf/proto"

	"github.com/meshway/meshway/consensus/catalog/catalogpb"
)

// ErrSnapshot reports that a snapshot is truncated, altered or of a newer version
// of meshd, or that the bytes are not a snapshot.
var ErrSnapshot = errors.New("not a valid snapshot of a catalog")

// Decode reads a snapshot that Encode wrote, up to the end of r. The error is
// ErrSnapshot or an error of r.
func Decode(r io.Reader) (*State, error) {
	s := New()
	txn := s.db.Txn(true)
	defer txn.Abort() // has no effect after Commit
	txn.TrackChanges()
	d := &decoder{r: bufio.NewReader(r), sum: sha256.New(), txn: txn}
	if err := d.decode(); err != nil {
		return nil, fmt.Errorf("read snapshot, record %d: %w", d.records, err)
	}
	s.commit(txn)
	return s, nil
}

type decoder struct {
	r       *bufio.Reader
	sum     hash.Hash
	records uint64
	txn     *memdb.Txn
}

func (d *decoder) decode() error {
	first, raw, err := d.next()
	if err != nil {
		return err
	}
	header := first.GetHeader()
	if header == nil || header.GetVersion() != snapshotVersion {
		return fmt.Errorf("%w: no header of version %d", ErrSnapshot, snapshotVersion)
	}
	d.sum.Write(raw)
	if header.GetIndex() > 0 {
		insert(d.txn, tableMeta, &meta{Index: header.GetIndex()})
	}
	for {
		record, raw, err := d.next()
		if err != nil {
			return err
		}
		if trailer := record.GetTrailer(); trailer != nil {
			return d.checkTrailer(trailer)
		}
		d.sum.Write(raw)
		d.records++
		if err := d.record(record); err != nil {
			return err
		}
	}
}

// checkTrailer checks the count and the sum of the records and that nothing follows.
func (d *decoder) checkTrailer(trailer *catalogpb.Trailer) error {
	if trailer.GetRecords() != d.records || !bytes.Equal(trailer.GetSha256(), d.sum.Sum(nil)) {
		return fmt.Errorf("%w: the checksum differs", ErrSnapshot)
	}
	switch _, err := d.r.ReadByte(); {
	case err == nil:
		return fmt.Errorf("%w: data follows its end", ErrSnapshot)
	case !errors.Is(err, io.EOF):
		return err
	}
	return nil
}

// next reads one record and returns it with its encoding, which the sum covers.
func (d *decoder) next() (*catalogpb.Record, []byte, error) {
	size, err := d.size()
	if err != nil {
		return nil, nil, err
	}
	raw := bytes.NewBuffer(binary.AppendUvarint(nil, size))
	header := raw.Len()
	// CopyN grows the buffer as it reads: the size may be forged.
	if _, err := io.CopyN(raw, d.r, int64(size)); err != nil {
		return nil, nil, truncated(err)
	}
	record := &catalogpb.Record{}
	// Unknown fields are those of the stored results of earlier builds, or of newer ones.
	if err := (proto.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(raw.Bytes()[header:], record); err != nil {
		return nil, nil, fmt.Errorf("%w: %w", ErrSnapshot, err)
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
		if size > maxRecordSize || shift > 28 {
			return 0, fmt.Errorf("%w: a record has more than %d bytes", ErrSnapshot, maxRecordSize)
		}
		if b < 0x80 {
			return size, nil
		}
	}
}

func truncated(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("%w: it ends too early", ErrSnapshot)
	}
	return err
}

func (d *decoder) record(record *catalogpb.Record) error {
	var err error
	switch body := record.GetBody().(type) {
	case *catalogpb.Record_Federation:
		err = d.federation(body.Federation)
	case *catalogpb.Record_Datacenter:
		err = d.datacenter(body.Datacenter)
	case *catalogpb.Record_Gateway:
		err = d.gateway(body.Gateway)
	case *catalogpb.Record_Token:
		err = d.token(body.Token)
	case *catalogpb.Record_Service:
		err = d.service(body.Service)
	case *catalogpb.Record_Observation:
		err = d.observation(body.Observation)
	case *catalogpb.Record_Client:
		err = d.client(body.Client)
	case *catalogpb.Record_Export:
		err = d.export(body.Export)
	case *catalogpb.Record_EndpointSlice:
		err = d.endpointSlice(body.EndpointSlice)
	default:
		err = errors.New("the record is of a kind that this version of meshd does not support")
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrSnapshot, err)
	}
	return nil
}

func (d *decoder) federation(p *catalogpb.Federation) error {
	f, err := FederationFromProto(p)
	if err != nil {
		return err
	}
	return add(d.txn, tableFederation, &f, federation(d.txn) == nil)
}

func (d *decoder) datacenter(p *catalogpb.Datacenter) error {
	dc, err := DatacenterFromProto(p)
	if err != nil {
		return err
	}
	return add(d.txn, tableDatacenters, &dc, isLabel(string(dc.Name)) &&
		federation(d.txn) != nil && datacenter(d.txn, dc.Name) == nil)
}

func (d *decoder) gateway(p *catalogpb.Gateway) error {
	g, err := GatewayFromProto(p)
	if err != nil {
		return err
	}
	return add(d.txn, tableGateways, &g, isLabel(g.Name) && datacenter(d.txn, g.Datacenter) != nil &&
		gateway(d.txn, g.ID()) == nil && g.Overlay.IsValid() &&
		first[Gateway](d.txn, tableGateways, indexPublicKey, g.PublicKey[:]) == nil &&
		first[Gateway](d.txn, tableGateways, indexOverlay, g.Overlay.AsSlice()) == nil)
}

func (d *decoder) token(p *catalogpb.Token) error {
	t, err := TokenFromProto(p)
	if err != nil {
		return err
	}
	return add(d.txn, tableTokens, &t, isKey(t.ID) && token(d.txn, t.ID) == nil)
}

func (d *decoder) service(p *catalogpb.Service) error {
	s, err := ServiceFromProto(p)
	if err != nil {
		return err
	}
	return add(d.txn, tableServices, &s, isLabel(s.Namespace) && isLabel(s.Name) && isKey(s.Instance) &&
		datacenter(d.txn, s.Datacenter) != nil && gateway(d.txn, s.Owner) != nil && service(d.txn, s.ServiceKey) == nil)
}

func (d *decoder) observation(p *catalogpb.Observation) error {
	o, err := ObservationFromProto(p)
	if err != nil {
		return err
	}
	existing := first[Observation](d.txn, tableObservations, indexID, string(o.Observer), string(o.Peer))
	return add(d.txn, tableObservations, &o, existing == nil &&
		gateway(d.txn, o.Observer) != nil && gateway(d.txn, o.Peer) != nil)
}

func (d *decoder) client(p *catalogpb.Client) error {
	var read fieldReader
	c := &client{
		Author: GatewayID(p.GetAuthor()), ID: p.GetId(), Acknowledged: p.GetAcknowledged(),
		LastSeen: read.time("last_seen", p.GetLastSeen()),
	}
	if read.refusal != nil {
		return read.refusal
	}
	for _, sequence := range slices.Sorted(maps.Keys(p.GetResults())) {
		result := p.GetResults()[sequence]
		c.Results = append(c.Results, storedResult{
			Sequence: sequence, Index: result.GetIndex(), Refusal: RefusalFromProto(result.GetRefusal()).clip(),
		})
	}
	existing := first[client](d.txn, tableClients, indexID, string(c.Author), c.ID)
	return add(d.txn, tableClients, c, existing == nil && isKey(string(c.Author)) && isKey(c.ID))
}

func (d *decoder) export(p *catalogpb.Export) error {
	e, err := ExportFromProto(p)
	if err != nil {
		return err
	}
	return add(d.txn, tableExports, &e, isLabel(e.Namespace) && isLabel(e.Name) &&
		datacenter(d.txn, e.Datacenter) != nil && export(d.txn, e.ExportKey) == nil)
}

func (d *decoder) endpointSlice(p *catalogpb.EndpointSlice) error {
	s, err := EndpointSliceFromProto(p)
	if err != nil {
		return err
	}
	return add(d.txn, tableEndpoints, &s, isKey(s.Slice) &&
		export(d.txn, s.ExportKey) != nil && endpointSlice(d.txn, s.EndpointSliceKey) == nil)
}

// add inserts a record. It fails unless the record is consistent with those before it.
func add[T any](txn *memdb.Txn, table string, record *T, consistent bool) error {
	if !consistent {
		return fmt.Errorf("a record of table %s has an invalid key, is repeated or refers to a missing record", table)
	}
	insert(txn, table, record)
	return nil
}

// isKey reports whether s can be a part of a key: not empty and without NUL, which
// terminates a part.
func isKey(s string) bool {
	return s != "" && onlyBytes(s, func(c byte) bool { return c != 0 })
}

package replica

import (
	"io"
	"iter"

	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/catalogpb"
	"github.com/meshway/meshway/consensus/catalog/replica/internal/table"
	"github.com/meshway/meshway/consensus/catalog/snapshot"
)

// Encode writes the view as a snapshot. Equal views have equal snapshots. Encode
// holds one record in memory at a time.
func (v *View) Encode(w io.Writer) error {
	return snapshot.Write(w, v.Index(), records(v.txn))
}

// records yields the records between header and trailer. A record follows those
// that it refers to, because Decode checks the references as it reads.
func records(txn *table.Txn) iter.Seq[*catalogpb.Record] {
	return func(yield func(*catalogpb.Record) bool) {
		_ = eachRecord(txn, tableFederation, yield, func(f *catalog.Federation) *catalogpb.Record {
			return &catalogpb.Record{Body: &catalogpb.Record_Federation{Federation: f.Proto()}}
		}) && eachRecord(txn, tableSettings, yield, func(s *catalog.Settings) *catalogpb.Record {
			return &catalogpb.Record{Body: &catalogpb.Record_Settings{Settings: s.Proto()}}
		}) && eachRecord(txn, tableDatacenters, yield, func(d *catalog.Datacenter) *catalogpb.Record {
			return &catalogpb.Record{Body: &catalogpb.Record_Datacenter{Datacenter: d.Proto()}}
		}) && eachRecord(txn, tableGateways, yield, func(g *catalog.Gateway) *catalogpb.Record {
			return &catalogpb.Record{Body: &catalogpb.Record_Gateway{Gateway: g.Proto()}}
		}) && eachRecord(txn, tableTokens, yield, func(t *catalog.Token) *catalogpb.Record {
			return &catalogpb.Record{Body: &catalogpb.Record_Token{Token: t.Proto()}}
		}) && eachRecord(txn, tableServices, yield, func(s *catalog.Service) *catalogpb.Record {
			return &catalogpb.Record{Body: &catalogpb.Record_Service{Service: s.Proto()}}
		}) && eachRecord(txn, tableObservations, yield, func(o *catalog.Observation) *catalogpb.Record {
			return &catalogpb.Record{Body: &catalogpb.Record_Observation{Observation: o.Proto()}}
		}) && eachRecord(txn, tableClients, yield, func(c *catalog.Client) *catalogpb.Record {
			return &catalogpb.Record{Body: &catalogpb.Record_Client{Client: c.Proto()}}
		}) && eachRecord(txn, tableExports, yield, func(e *catalog.Export) *catalogpb.Record {
			return &catalogpb.Record{Body: &catalogpb.Record_Export{Export: e.Proto()}}
		}) && eachRecord(txn, tableEndpoints, yield, func(s *catalog.EndpointSlice) *catalogpb.Record {
			return &catalogpb.Record{Body: &catalogpb.Record_EndpointSlice{EndpointSlice: s.Proto()}}
		})
	}
}

func eachRecord[T any](txn *table.Txn, of string, yield func(*catalogpb.Record) bool,
	wrap func(*T) *catalogpb.Record,
) bool {
	for r := range each[T](txn, of, indexID) {
		if !yield(wrap(r)) {
			return false
		}
	}
	return true
}

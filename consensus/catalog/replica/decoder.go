package replica

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/catalogpb"
	"github.com/meshway/meshway/consensus/catalog/quota"
	"github.com/meshway/meshway/consensus/catalog/replica/internal/table"
	"github.com/meshway/meshway/consensus/catalog/snapshot"
)

// Decode reads a snapshot that Encode wrote, up to the end of r. The error is
// snapshot.ErrInvalid or an error of r.
func Decode(r io.Reader) (*State, error) {
	s := New()
	txn := s.db.Write()
	d := &decoder{txn: txn, tally: &s.tally}
	index, err := snapshot.Read(r, d.record)
	if err != nil {
		return nil, err
	}
	if index > 0 {
		insert(txn, tableMeta, &meta{Index: index})
	}
	txn.Commit()
	return s, nil
}

type decoder struct {
	txn   *table.Txn
	tally *quota.Tally // of the records so far
}

// record adds a record unless it is not consistent with those before it.
func (d *decoder) record(record *catalogpb.Record) error {
	switch body := record.GetBody().(type) {
	case *catalogpb.Record_Federation:
		return d.federation(body.Federation)
	case *catalogpb.Record_Settings:
		return d.settings(body.Settings)
	case *catalogpb.Record_Datacenter:
		return d.datacenter(body.Datacenter)
	case *catalogpb.Record_Gateway:
		return d.gateway(body.Gateway)
	case *catalogpb.Record_Token:
		return d.token(body.Token)
	case *catalogpb.Record_Service:
		return d.service(body.Service)
	case *catalogpb.Record_Observation:
		return d.observation(body.Observation)
	case *catalogpb.Record_Client:
		return d.client(body.Client)
	case *catalogpb.Record_Export:
		return d.export(body.Export)
	case *catalogpb.Record_EndpointSlice:
		return d.endpointSlice(body.EndpointSlice)
	default:
		return errors.New("the record is of a kind that this version of meshd does not support")
	}
}

func (d *decoder) federation(p *catalogpb.Federation) error {
	f, err := catalog.FederationFromProto(p)
	if err != nil {
		return err
	}
	return add(d, tableFederation, &f, federation(d.txn) == nil)
}

func (d *decoder) settings(p *catalogpb.Settings) error {
	s, err := catalog.SettingsFromProto(p)
	if err != nil {
		return err
	}
	return add(d, tableSettings, &s, federation(d.txn) != nil && settings(d.txn).FeatureLevel == 0)
}

func (d *decoder) datacenter(p *catalogpb.Datacenter) error {
	dc, err := catalog.DatacenterFromProto(p)
	if err != nil {
		return err
	}
	return add(d, tableDatacenters, &dc, isName(string(dc.Name)) &&
		federation(d.txn) != nil && datacenter(d.txn, dc.Name) == nil)
}

func (d *decoder) gateway(p *catalogpb.Gateway) error {
	g, err := catalog.GatewayFromProto(p)
	if err != nil {
		return err
	}
	return add(d, tableGateways, &g, isName(g.Name) && datacenter(d.txn, g.Datacenter) != nil &&
		gateway(d.txn, g.ID()) == nil && g.Overlay.IsValid() &&
		first[catalog.Gateway](d.txn, tableGateways, indexPublicKey, string(g.PublicKey[:])) == nil &&
		first[catalog.Gateway](d.txn, tableGateways, indexOverlay, string(g.Overlay.AsSlice())) == nil)
}

func (d *decoder) token(p *catalogpb.Token) error {
	t, err := catalog.TokenFromProto(p)
	if err != nil {
		return err
	}
	return add(d, tableTokens, &t, isKey(t.ID) && token(d.txn, t.ID) == nil)
}

func (d *decoder) service(p *catalogpb.Service) error {
	s, err := catalog.ServiceFromProto(p)
	if err != nil {
		return err
	}
	return add(d, tableServices, &s, isName(s.Namespace) && isName(s.Name) && isKey(s.Instance) &&
		datacenter(d.txn, s.Datacenter) != nil && gateway(d.txn, s.Owner) != nil && service(d.txn, s.ServiceKey) == nil)
}

func (d *decoder) observation(p *catalogpb.Observation) error {
	o, err := catalog.ObservationFromProto(p)
	if err != nil {
		return err
	}
	existing := first[catalog.Observation](d.txn, tableObservations, indexID, string(o.Observer), string(o.Peer))
	return add(d, tableObservations, &o, existing == nil &&
		gateway(d.txn, o.Observer) != nil && gateway(d.txn, o.Peer) != nil)
}

func (d *decoder) client(p *catalogpb.Client) error {
	c, err := catalog.ClientFromProto(p)
	if err != nil {
		return err
	}
	existing := first[catalog.Client](d.txn, tableClients, indexID, string(c.Author), c.ID)
	return add(d, tableClients, c, existing == nil && isKey(string(c.Author)) && isKey(c.ID))
}

func (d *decoder) export(p *catalogpb.Export) error {
	e, err := catalog.ExportFromProto(p)
	if err != nil {
		return err
	}
	return add(d, tableExports, &e, isName(e.Namespace) && isName(e.Name) &&
		datacenter(d.txn, e.Datacenter) != nil && export(d.txn, e.ExportKey) == nil)
}

func (d *decoder) endpointSlice(p *catalogpb.EndpointSlice) error {
	s, err := catalog.EndpointSliceFromProto(p)
	if err != nil {
		return err
	}
	return add(d, tableEndpoints, &s, isKey(s.Slice) &&
		export(d.txn, s.ExportKey) != nil && endpointSlice(d.txn, s.EndpointSliceKey) == nil)
}

// add inserts a record. It fails unless the record is consistent with those before it.
func add[T any](d *decoder, to string, record *T, consistent bool) error {
	if !consistent {
		return fmt.Errorf("a record of table %s has an invalid key, is repeated or refers to a missing record", to)
	}
	insert(d.txn, to, record)
	d.tally.Replace(nil, record)
	return nil
}

// isName reports whether s is a valid name of a record.
func isName(s string) bool { return catalog.ValidateName(s) == nil }

// isKey reports whether s can be a part of a key: not empty and without NUL, which
// terminates a part.
func isKey(s string) bool {
	return s != "" && !strings.Contains(s, "\x00")
}

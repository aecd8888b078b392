package catalog

import (
	"bytes"
	"maps"
	"net/netip"
	"slices"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/meshway/meshway/consensus/catalog/catalogpb"
)

// The conversions copy: the two sides share no memory. Those from the wire form
// check only the syntax of the values, Apply checks the rest. Their errors are
// *Refusal.

// Proto returns the wire form.
func (f Federation) Proto() *catalogpb.Federation {
	return &catalogpb.Federation{
		Id: f.ID, Name: f.Name, Overlay: prefixText(f.Overlay),
		CreatedAt: timeProto(f.CreatedAt), NextOrdinal: f.NextOrdinal,
	}
}

// FederationFromProto parses the wire form.
func FederationFromProto(p *catalogpb.Federation) (Federation, error) {
	var read fieldReader
	f := Federation{
		ID: p.GetId(), Name: p.GetName(), Overlay: read.prefix("overlay", p.GetOverlay()),
		CreatedAt: read.time("created_at", p.GetCreatedAt()), NextOrdinal: p.GetNextOrdinal(),
	}
	return f, read.refusal.err()
}

// Proto returns the wire form.
func (d Datacenter) Proto() *catalogpb.Datacenter {
	p := &catalogpb.Datacenter{
		Name: string(d.Name), Ordinal: d.Ordinal, CaCertificate: bytes.Clone(d.CACertificate),
		JoinedAt: timeProto(d.JoinedAt), ModifiedIndex: d.ModifiedIndex, Signature: d.Signature.Proto(),
	}
	for _, prefix := range d.Prefixes {
		p.Prefixes = append(p.Prefixes, &catalogpb.Prefix{
			Cidr: prefixText(prefix.CIDR), Kind: kindProto(prefix.Kind),
		})
	}
	for _, s := range d.Successions {
		p.Successions = append(p.Successions, &catalogpb.Succession{
			Predecessor: bytes.Clone(s.Predecessor), Certificate: bytes.Clone(s.Certificate), Retired: s.Retired,
		})
	}
	return p
}

// DatacenterFromProto parses the wire form.
func DatacenterFromProto(p *catalogpb.Datacenter) (Datacenter, error) {
	var read fieldReader
	d := Datacenter{
		Name: DatacenterName(p.GetName()), Ordinal: p.GetOrdinal(),
		CACertificate: bytes.Clone(p.GetCaCertificate()),
		JoinedAt:      read.time("joined_at", p.GetJoinedAt()), ModifiedIndex: p.GetModifiedIndex(),
		Signature: signatureFromProto(p.GetSignature()),
	}
	for i, prefix := range p.GetPrefixes() {
		field := At("prefixes", i)
		d.Prefixes = append(d.Prefixes, Prefix{
			CIDR: read.prefix(field, prefix.GetCidr()), Kind: read.kind(field, prefix.GetKind()),
		})
	}
	for _, s := range p.GetSuccessions() {
		d.Successions = append(d.Successions, Succession{
			Predecessor: bytes.Clone(s.GetPredecessor()), Certificate: bytes.Clone(s.GetCertificate()), Retired: s.GetRetired(),
		})
	}
	return d, read.refusal.err()
}

// Proto returns the wire form.
func (g Gateway) Proto() *catalogpb.Gateway {
	return &catalogpb.Gateway{
		Datacenter: string(g.Datacenter), Name: g.Name, Index: g.Index,
		PublicKey: bytes.Clone(g.PublicKey[:]), OverlayAddress: addrText(g.Overlay),
		Endpoints: slices.Clone(g.Endpoints), Controls: slices.Clone(g.Controls),
		Version: g.Version, Draining: g.Draining, FeatureLevel: g.FeatureLevel, Witness: g.Witness,
		ModifiedIndex: g.ModifiedIndex, Signature: g.Signature.Proto(),
	}
}

// GatewayFromProto parses the wire form.
func GatewayFromProto(p *catalogpb.Gateway) (Gateway, error) {
	var read fieldReader
	g := Gateway{
		Datacenter: DatacenterName(p.GetDatacenter()), Name: p.GetName(), Index: p.GetIndex(),
		PublicKey: read.bytes32("public_key", p.GetPublicKey()),
		Overlay:   read.addr("overlay_address", p.GetOverlayAddress()),
		Endpoints: slices.Clone(p.GetEndpoints()), Controls: slices.Clone(p.GetControls()),
		Version: p.GetVersion(), Draining: p.GetDraining(), FeatureLevel: p.GetFeatureLevel(), Witness: p.GetWitness(),
		ModifiedIndex: p.GetModifiedIndex(), Signature: signatureFromProto(p.GetSignature()),
	}
	return g, read.refusal.err()
}

// Proto returns the wire form.
func (t Token) Proto() *catalogpb.Token {
	return &catalogpb.Token{
		Id: t.ID, SecretHash: bytes.Clone(t.SecretHash[:]), Datacenter: string(t.Datacenter),
		CreatedBy: string(t.CreatedBy), CreatedAt: timeProto(t.CreatedAt), ExpiresAt: timeProto(t.ExpiresAt),
		UsedBy: string(t.UsedBy), UsedAt: timeProto(t.UsedAt), Revoked: t.Revoked,
	}
}

// TokenFromProto parses the wire form.
func TokenFromProto(p *catalogpb.Token) (Token, error) {
	var read fieldReader
	t := Token{
		ID: p.GetId(), SecretHash: read.bytes32("secret_hash", p.GetSecretHash()),
		Datacenter: DatacenterName(p.GetDatacenter()), CreatedBy: GatewayID(p.GetCreatedBy()),
		CreatedAt: read.time("created_at", p.GetCreatedAt()), ExpiresAt: read.time("expires_at", p.GetExpiresAt()),
		UsedBy: DatacenterName(p.GetUsedBy()), UsedAt: read.time("used_at", p.GetUsedAt()), Revoked: p.GetRevoked(),
	}
	return t, read.refusal.err()
}

// Proto returns the wire form.
func (s Service) Proto() *catalogpb.Service {
	p := &catalogpb.Service{
		Datacenter: string(s.Datacenter), Namespace: s.Namespace, Name: s.Name, Instance: s.Instance,
		Owner: string(s.Owner), Address: addrText(s.Address), Labels: maps.Clone(s.Labels),
		ModifiedIndex: s.ModifiedIndex,
	}
	for _, port := range s.Ports {
		p.Ports = append(p.Ports, &catalogpb.Port{
			Name: port.Name, Protocol: port.Protocol, Number: uint32(port.Number),
		})
	}
	return p
}

// ServiceFromProto parses the wire form.
func ServiceFromProto(p *catalogpb.Service) (Service, error) {
	var read fieldReader
	s := Service{
		ServiceKey: ServiceKeyFromProto(p), Owner: GatewayID(p.GetOwner()),
		Address: read.addr("address", p.GetAddress()), ModifiedIndex: p.GetModifiedIndex(),
	}
	if len(p.GetLabels()) > 0 {
		s.Labels = maps.Clone(p.GetLabels())
	}
	for i, port := range p.GetPorts() {
		s.Ports = append(s.Ports, Port{
			Name: port.GetName(), Protocol: port.GetProtocol(), Number: read.port(At("ports", i), port.GetNumber()),
		})
	}
	return s, read.refusal.err()
}

// ServiceKeyFromProto returns the key in the wire form of a record.
func ServiceKeyFromProto(p *catalogpb.Service) ServiceKey {
	return ServiceKey{
		Datacenter: DatacenterName(p.GetDatacenter()), Namespace: p.GetNamespace(),
		Name: p.GetName(), Instance: p.GetInstance(),
	}
}

// Proto returns the wire form.
func (o Observation) Proto() *catalogpb.Observation {
	return &catalogpb.Observation{
		Observer: string(o.Observer), Peer: string(o.Peer), Endpoint: addrPortText(o.Endpoint),
		At: timeProto(o.At), ModifiedIndex: o.ModifiedIndex,
	}
}

// ObservationFromProto parses the wire form.
func ObservationFromProto(p *catalogpb.Observation) (Observation, error) {
	var read fieldReader
	o := Observation{
		Observer: GatewayID(p.GetObserver()), Peer: GatewayID(p.GetPeer()),
		Endpoint: read.addrPort("endpoint", p.GetEndpoint()),
		At:       read.time("at", p.GetAt()), ModifiedIndex: p.GetModifiedIndex(),
	}
	return o, read.refusal.err()
}

// Unset values are empty strings and absent messages on the wire.

func prefixText(p netip.Prefix) string {
	if p == (netip.Prefix{}) {
		return ""
	}
	return p.String()
}

func addrText(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	return a.String()
}

func addrPortText(a netip.AddrPort) string {
	if a == (netip.AddrPort{}) {
		return ""
	}
	return a.String()
}

func timeProto(t time.Time) *timestamppb.Timestamp {
	if t.IsZero() {
		return nil
	}
	return timestamppb.New(t)
}

func kindProto(k PrefixKind) catalogpb.PrefixKind {
	switch k {
	case PodPrefix:
		return catalogpb.PrefixKind_PREFIX_KIND_POD
	case ServicePrefix:
		return catalogpb.PrefixKind_PREFIX_KIND_SERVICE
	case NodePrefix:
		return catalogpb.PrefixKind_PREFIX_KIND_NODE
	}
	return catalogpb.PrefixKind_PREFIX_KIND_UNSPECIFIED
}

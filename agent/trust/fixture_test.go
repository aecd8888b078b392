package trust

import (
	"crypto/sha256"
	"crypto/tls"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/agent/identity"
	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/consensus/catalog"
)

const federationID = "123e4567-e89b-12d3-a456-426614174000"

func start() time.Time { return time.Date(2026, 1, 2, 3, 4, 5, 600, time.UTC) }

// member is a datacenter with one gateway named gw, and its CA.
type member struct {
	t          testing.TB
	ca         *identity.CA
	datacenter catalog.Datacenter
	gateway    catalog.Gateway
}

// newMember returns a datacenter whose prefix and keys contain number. Its records
// are not signed.
func newMember(t testing.TB, name catalog.DatacenterName, number byte) *member {
	t.Helper()
	ca, err := identity.NewCA(name, start())
	require.NoError(t, err)
	return &member{
		t: t, ca: ca,
		datacenter: catalog.Datacenter{
			Name: name, Ordinal: uint32(number), CACertificate: ca.Certificate(), JoinedAt: start(), ModifiedIndex: 1,
			Prefixes: []catalog.Prefix{{CIDR: netip.PrefixFrom(netip.AddrFrom4([4]byte{10, number}), 16), Kind: catalog.PodPrefix}},
		},
		gateway: catalog.Gateway{
			Datacenter: name, Name: "gw", Index: 0, PublicKey: sha256.Sum256([]byte(name)), Version: "v1", ModifiedIndex: 1,
			Overlay:   netip.AddrFrom16([16]byte{0: 0xfd, 15: number}),
			Endpoints: []string{"192.0.2.1:51820"}, Controls: []string{"192.0.2.1:7443"},
		},
	}
}

func (m *member) certificate(gateway string) *tls.Certificate {
	m.t.Helper()
	certificate, err := m.ca.Issue(gateway, federationID, start())
	require.NoError(m.t, err)
	return certificate
}

// sign signs both records in their present content.
func (m *member) sign(version uint64) *member {
	m.signGateway(version)
	m.signDatacenter(version)
	return m
}

func (m *member) signGateway(version uint64) {
	m.t.Helper()
	var err error
	m.gateway, err = SignGateway(m.certificate(m.gateway.Name), federationID, m.gateway, version)
	require.NoError(m.t, err)
}

func (m *member) signDatacenter(version uint64) {
	m.t.Helper()
	var err error
	m.datacenter, err = SignDatacenter(m.certificate(m.gateway.Name), federationID, m.datacenter, version)
	require.NoError(m.t, err)
}

// copy returns a member that changes without m.
func (m *member) copy() *member {
	c := *m
	c.datacenter, c.gateway = m.datacenter.Clone(), m.gateway.Clone()
	return &c
}

// catalogOf returns a catalog at an index.
func catalogOf(index uint64, members ...*member) plan.Catalog {
	c := plan.Catalog{
		Federation: catalog.Federation{ID: federationID, Name: "test", Overlay: netip.MustParsePrefix("fd00::/48")},
		Index:      index,
	}
	for _, m := range members {
		c.Datacenters = append(c.Datacenters, m.datacenter.Clone())
		c.Gateways = append(c.Gateways, m.gateway.Clone())
	}
	return c
}

// judgeAll judges one catalog after the other and returns the last verdict.
func judgeAll(catalogs ...plan.Catalog) Verdict {
	v := Verdict{Ledger: Ledger{FederationID: federationID}}
	for _, c := range catalogs {
		v = Judge("east/gw", v.Ledger, c)
	}
	return v
}

func kinds(v Verdict) []Kind {
	var out []Kind
	for _, f := range v.Findings {
		out = append(out, f.Kind)
	}
	slices.Sort(out)
	return out
}

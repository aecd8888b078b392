package replica_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/catalogpb"
	"github.com/meshway/meshway/consensus/catalog/replica"
)

const (
	federationID = "123e4567-e89b-12d3-a456-426614174000"
	eastGateway  = catalog.GatewayID("east/gw0")
	westGateway  = catalog.GatewayID("west/gw0")
	northGateway = catalog.GatewayID("north/gw0")
)

func start() time.Time { return time.Date(2026, 1, 2, 3, 4, 5, 600, time.UTC) }

// certificate returns a certificate whose bytes depend on its arguments only.
func certificate(t testing.TB, name string, isCA bool) []byte {
	t.Helper()
	return certificateWithKey(t, name, name, isCA)
}

// certificateWithKey returns a certificate with a key that depends on keyText only.
func certificateWithKey(t testing.TB, keyText, name string, isCA bool) []byte {
	t.Helper()
	type arguments struct {
		keyText, name string
		isCA          bool
	}
	a := arguments{keyText, name, isCA}
	if der, ok := certificates.Load(a); ok {
		return bytes.Clone(der.([]byte))
	}
	der, err := selfSign(keyText, name, isCA)
	require.NoError(t, err)
	certificates.Store(a, bytes.Clone(der))
	return der
}

// certificates holds the results of certificateWithKey, which are slow to create.
var certificates sync.Map

// selfSign is deterministic, as Ed25519 signatures are.
func selfSign(keyText, name string, isCA bool) ([]byte, error) {
	seed := sha256.Sum256([]byte(keyText))
	key := ed25519.NewKeyFromSeed(seed[:])
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name},
		NotBefore: start(), NotAfter: start().AddDate(10, 0, 0),
		IsCA: isCA, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	return x509.CreateCertificate(nil, template, template, key.Public(), key)
}

func testFederation(overlay string) catalog.Federation {
	return catalog.Federation{ID: federationID, Name: "demo", Overlay: netip.MustParsePrefix(overlay)}
}

func prefixes(kind catalog.PrefixKind, cidrs ...string) []catalog.Prefix {
	var list []catalog.Prefix
	for _, c := range cidrs {
		list = append(list, catalog.Prefix{CIDR: netip.MustParsePrefix(c), Kind: kind})
	}
	return list
}

func testDatacenter(t testing.TB, name string, pods ...string) catalog.Datacenter {
	t.Helper()
	return catalog.Datacenter{
		Name: catalog.DatacenterName(name), CACertificate: certificate(t, name, true),
		Prefixes: prefixes(catalog.PodPrefix, pods...),
	}
}

func testGateway(dc, name string) catalog.Gateway {
	return catalog.Gateway{
		Datacenter: catalog.DatacenterName(dc), Name: name, PublicKey: sha256.Sum256([]byte(dc + "/" + name)),
		Endpoints: []string{"192.0.2.1:51820"}, Controls: []string{"192.0.2.1:7443"}, Version: "v1.0.0",
	}
}

func testService(dc, name, instance, address string) catalog.Service {
	return catalog.Service{
		ServiceKey: catalog.ServiceKey{
			Datacenter: catalog.DatacenterName(dc), Namespace: "default", Name: name, Instance: instance,
		},
		Owner: catalog.NewGatewayID(catalog.DatacenterName(dc), "gw0"), Address: netip.MustParseAddr(address),
		Ports:  []catalog.Port{{Name: "http", Protocol: "tcp", Number: 80}},
		Labels: map[string]string{"app": name, "tier": "front", "version": "1"},
	}
}

func testExport(dc, name string) catalog.Export {
	return catalog.Export{
		ExportKey: catalog.ExportKey{Datacenter: catalog.DatacenterName(dc), Namespace: "default", Name: name},
		Type:      catalog.ClusterSetIP,
		Ports: []catalog.ExportPort{
			{Name: "http", Protocol: "tcp", Number: 80, AppProtocol: "kubernetes.io/h2c"},
			{Name: "dns", Protocol: "udp", Number: 53},
		},
		SessionAffinity: catalog.ClientIPAffinity, SessionAffinitySeconds: 10,
		IPFamilies: []catalog.IPFamily{catalog.IPv4}, InternalTrafficPolicy: "Cluster",
		TrafficDistribution: "PreferClose", Affinity: catalog.AffinityLocal, Mirror: true, CreatedAt: start(),
		Labels:      map[string]string{"app": name, "tier": "front", "version": "1"},
		Annotations: map[string]string{"note": "a", "owner": "b", "more": "c"},
	}
}

func testSlice(dc, name, slice string, addresses ...string) catalog.EndpointSlice {
	s := catalog.EndpointSlice{
		EndpointSliceKey: catalog.EndpointSliceKey{ExportKey: testExport(dc, name).ExportKey, Slice: slice},
		Ports:            []catalog.ExportPort{{Name: "http", Protocol: "tcp", Number: 8080}},
	}
	for i, a := range addresses {
		s.Endpoints = append(s.Endpoints, catalog.Endpoint{
			Address: netip.MustParseAddr(a), Ready: i%2 == 0, Hostname: "web-0", Zone: "zone-a",
		})
	}
	return s
}

// members applies commands to a State as the members of a federation do.
type members struct {
	t     testing.TB
	state *replica.State
	index uint64
	now   time.Time
	log   [][]byte
}

func newMembers(t testing.TB) *members {
	return &members{t: t, state: replica.New(), index: 10, now: start()}
}

func (m *members) sign(author catalog.GatewayID, cmd *catalogpb.Command) *catalogpb.Command {
	cmd.Author, cmd.At = string(author), timestamppb.New(m.now)
	return cmd
}

// entry applies signed commands as one entry.
func (m *members) entry(cmds ...*catalogpb.Command) []catalog.Result {
	m.t.Helper()
	entry, err := catalog.Marshal(cmds...)
	require.NoError(m.t, err)
	m.index++
	m.log = append(m.log, entry)
	results, err := m.state.Apply(m.index, entry)
	require.NoError(m.t, err)
	require.Len(m.t, results, len(cmds))
	return results
}

func (m *members) do(author catalog.GatewayID, cmd *catalogpb.Command) catalog.Result {
	m.t.Helper()
	return m.entry(m.sign(author, cmd))[0]
}

func (m *members) must(author catalog.GatewayID, cmd *catalogpb.Command) catalog.Result {
	m.t.Helper()
	result := m.do(author, cmd)
	require.Nil(m.t, result.Refusal)
	require.Equal(m.t, m.index, result.Index)
	return result
}

// refused requires that cmd is refused with code and changes nothing.
func (m *members) refused(author catalog.GatewayID, cmd *catalogpb.Command, code string) *catalog.Refusal {
	m.t.Helper()
	before := contents(m.state.View())
	result := m.do(author, cmd)
	require.NotNil(m.t, result.Refusal, "want %s", code)
	require.Equal(m.t, code, result.Refusal.Code, result.Refusal.Error())
	require.NotEmpty(m.t, result.Refusal.Message)
	require.NotEmpty(m.t, result.Refusal.Remedy)
	require.Equal(m.t, before, contents(m.state.View()))
	return result.Refusal
}

func (m *members) wait(d time.Duration) { m.now = m.now.Add(d) }

func (m *members) init() {
	m.t.Helper()
	m.must(eastGateway, catalog.NewInit(testFederation("fd12:3456:789a::/48"),
		testDatacenter(m.t, "east", "10.1.0.0/16"), testGateway("east", "gw0")))
}

func (m *members) token(id string, bound catalog.DatacenterName) {
	m.t.Helper()
	m.must(eastGateway, catalog.NewCreateToken(catalog.Token{
		ID: id, SecretHash: catalog.HashSecret([]byte(id)), Datacenter: bound, ExpiresAt: m.now.Add(time.Hour),
	}))
}

func joinRequest(t testing.TB, token, dc string, pods ...string) catalog.JoinRequest {
	t.Helper()
	return catalog.JoinRequest{
		TokenID: token, SecretHash: catalog.HashSecret([]byte(token)), FederationID: federationID,
		Datacenter: testDatacenter(t, dc, pods...), Gateway: testGateway(dc, "gw0"),
	}
}

// federationOfThree has the datacenters east (10.1.0.0/16), west (10.2.0.0/16) and
// north (10.3.0.0/16 and fd00:3::/64).
func federationOfThree(t testing.TB) *members {
	t.Helper()
	m := newMembers(t)
	m.init()
	m.token("token-west", "")
	m.token("token-north", "north")
	m.must(eastGateway, catalog.NewJoin(joinRequest(t, "token-west", "west", "10.2.0.0/16")))
	m.must(westGateway, catalog.NewJoin(joinRequest(t, "token-north", "north", "10.3.0.0/16", "fd00:3::/64")))
	return m
}

// viewContents holds all records of a view.
type viewContents struct {
	Federation   catalog.Federation
	Settings     catalog.Settings
	Datacenters  []catalog.Datacenter
	Gateways     []catalog.Gateway
	Tokens       []catalog.Token
	Services     []catalog.Service
	Observations []catalog.Observation
	Exports      []catalog.Export
	Endpoints    []catalog.EndpointSlice
}

func contents(v *replica.View) viewContents {
	f, _ := v.Federation()
	return viewContents{
		Federation: f, Settings: v.Settings(), Datacenters: v.Datacenters(), Gateways: v.Gateways(), Tokens: v.Tokens(),
		Services: v.Services(replica.ServiceFilter{}), Observations: v.Observations(),
		Exports: v.Exports(replica.ExportFilter{}), Endpoints: v.EndpointSlices(replica.ExportFilter{}),
	}
}

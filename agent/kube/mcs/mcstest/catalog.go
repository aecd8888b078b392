package mcstest

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/catalogpb"
	"github.com/meshway/meshway/consensus/catalog/feed"
	"github.com/meshway/meshway/consensus/catalog/replica"
)

// Catalog is a catalog without raft, as accessed by gateway gw0 of one datacenter. The
// datacenter with ordinal n has the prefixes 10.n.0.0/16 and fd00:n::/64.
type Catalog struct {
	shared *commandLog
	author catalog.GatewayID
}

// commandLog applies commands in sequence.
type commandLog struct {
	state *replica.State
	feed  *feed.Feed // of state

	mu     sync.Mutex // guards all following
	index  uint64
	closed bool   // no leader
	refuse string // name of the exports that are refused; empty: none
}

// ErrNoLeader is the error of Propose while there is no leader.
type ErrNoLeader struct{}

// Error implements error.
func (ErrNoLeader) Error() string { return "no leader" }

// NewCatalog returns the catalog of a federation of datacenters, as accessed by the
// first.
func NewCatalog(t testing.TB, first catalog.DatacenterName, others ...catalog.DatacenterName) *Catalog {
	t.Helper()
	c := &Catalog{shared: &commandLog{state: replica.New(), feed: feed.New()}, author: catalog.NewGatewayID(first, "gw0")}
	c.shared.state.Observe(c.shared.feed.Observe)
	c.must(t, catalog.NewInit(
		catalog.Federation{ID: federationID, Name: "test", Overlay: netip.MustParsePrefix("fd12:3456:789a::/48")},
		datacenter(t, first, 1), gateway(first)))
	for _, dc := range others {
		c.Join(t, dc)
	}
	return c
}

const federationID = "123e4567-e89b-12d3-a456-426614174000"

// Join makes a datacenter a member of the federation.
func (c *Catalog) Join(t testing.TB, dc catalog.DatacenterName) {
	t.Helper()
	token := string(dc)
	c.must(t, catalog.NewCreateToken(catalog.Token{
		ID: token, SecretHash: catalog.HashSecret([]byte(token)), ExpiresAt: time.Now().Add(time.Hour),
	}))
	c.must(t, catalog.NewJoin(catalog.JoinRequest{
		TokenID: token, SecretHash: catalog.HashSecret([]byte(token)), FederationID: federationID,
		Datacenter: datacenter(t, dc, len(c.View().Datacenters())+1), Gateway: gateway(dc),
	}))
}

func datacenter(t testing.TB, name catalog.DatacenterName, n int) catalog.Datacenter {
	t.Helper()
	seed := sha256.Sum256([]byte(name))
	key := ed25519.NewKeyFromSeed(seed[:])
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: string(name)}, NotAfter: time.Now().AddDate(1, 0, 0),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(nil, template, template, key.Public(), key)
	require.NoError(t, err)
	return catalog.Datacenter{Name: name, CACertificate: der, Prefixes: []catalog.Prefix{
		{CIDR: netip.MustParsePrefix(fmt.Sprintf("10.%d.0.0/16", n)), Kind: catalog.PodPrefix},
		{CIDR: netip.MustParsePrefix(fmt.Sprintf("fd00:%d::/64", n)), Kind: catalog.PodPrefix},
	}}
}

func gateway(dc catalog.DatacenterName) catalog.Gateway {
	return catalog.Gateway{
		Datacenter: dc, Name: "gw0", PublicKey: sha256.Sum256([]byte(dc)),
		Endpoints: []string{"192.0.2.1:51820"}, Controls: []string{"192.0.2.1:7443"}, Version: "test",
	}
}

// At returns the same catalog, as accessed by another datacenter.
func (c *Catalog) At(dc catalog.DatacenterName) *Catalog {
	return &Catalog{shared: c.shared, author: catalog.NewGatewayID(dc, "gw0")}
}

// View returns the current state.
func (c *Catalog) View() *replica.View { return c.shared.state.View() }

// Feed returns the changes of View.
func (c *Catalog) Feed() *feed.Feed { return c.shared.feed }

// Changed returns a channel that is closed at the next change.
func (c *Catalog) Changed() <-chan struct{} { return c.shared.state.Changed() }

// Propose applies commands. It returns ErrNoLeader while there is no leader.
func (c *Catalog) Propose(_ context.Context, cmds ...*catalogpb.Command) ([]catalog.Result, error) {
	l := c.shared
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil, ErrNoLeader{}
	}
	results := make([]catalog.Result, 0, len(cmds))
	for _, cmd := range cmds {
		result, err := l.apply(c.author, cmd)
		if err != nil {
			return nil, err
		}
		results = append(results, result)
	}
	return results, nil
}

func (l *commandLog) apply(author catalog.GatewayID, cmd *catalogpb.Command) (catalog.Result, error) {
	named := func(e *catalogpb.Export) bool { return e.GetName() == l.refuse }
	if l.refuse != "" && slices.ContainsFunc(cmd.GetPutExports().GetExports(), named) {
		return catalog.Result{Refusal: &catalog.Refusal{Code: catalog.CodeExportInvalid, Field: "exports", Message: "the test refuses it"}}, nil
	}
	cmd = proto.CloneOf(cmd)
	cmd.Author, cmd.At = string(author), timestamppb.Now()
	entry, err := catalog.Marshal(cmd)
	if err != nil {
		return catalog.Result{}, err
	}
	l.index++
	results, err := l.state.Apply(l.index, entry)
	if err != nil {
		return catalog.Result{}, err
	}
	return results[0], nil
}

// SetLeader sets whether there is a leader. Without one Propose fails.
func (c *Catalog) SetLeader(leader bool) {
	c.shared.mu.Lock()
	defer c.shared.mu.Unlock()
	c.shared.closed = !leader
}

// Refuse makes Propose refuse commands that write an export with a name.
func (c *Catalog) Refuse(name string) {
	c.shared.mu.Lock()
	defer c.shared.mu.Unlock()
	c.shared.refuse = name
}

// Put writes an export of the datacenter, with all of its endpoints.
func (c *Catalog) Put(t testing.TB, e catalog.Export, slices ...catalog.EndpointSlice) {
	t.Helper()
	c.must(t, catalog.NewPutExports([]catalog.Export{e}))
	c.must(t, catalog.NewPutEndpoints(slices))
}

// Delete deletes an export of the datacenter.
func (c *Catalog) Delete(t testing.TB, key catalog.ExportKey) {
	t.Helper()
	c.must(t, catalog.NewDeleteExports([]catalog.ExportKey{key}))
}

// Register registers an instance of a service of the datacenter, named after its address
// and with port http.
func (c *Catalog) Register(t testing.TB, namespace, name, address string) {
	t.Helper()
	c.must(t, catalog.NewPutServices([]catalog.Service{{
		ServiceKey: c.instance(namespace, name, address), Address: netip.MustParseAddr(address),
		Ports: []catalog.Port{{Name: "http", Protocol: "tcp", Number: 80}},
	}}))
}

// Deregister deletes an instance that Register wrote.
func (c *Catalog) Deregister(t testing.TB, namespace, name, address string) {
	t.Helper()
	c.must(t, catalog.NewDeleteServices([]catalog.ServiceKey{c.instance(namespace, name, address)}))
}

func (c *Catalog) instance(namespace, name, address string) catalog.ServiceKey {
	return catalog.ServiceKey{Datacenter: c.author.Datacenter(), Namespace: namespace, Name: name, Instance: address}
}

func (c *Catalog) must(t testing.TB, cmd *catalogpb.Command) {
	t.Helper()
	results, err := c.Propose(context.Background(), cmd)
	require.NoError(t, err)
	require.Nil(t, results[0].Refusal)
}

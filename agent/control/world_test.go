package control_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/agent/control"
	"github.com/meshway/meshway/agent/control/controlpb"
	"github.com/meshway/meshway/agent/control/controltest"
	"github.com/meshway/meshway/agent/identity"
	"github.com/meshway/meshway/agent/rpc"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/catalogpb"
)

const federationID = "0b5bcf6e-6f2d-4c8c-9a56-0a3c6a1f0d11"

// catalogIndex is up to where the catalog goes that all see.
const catalogIndex = 42

var errNotLeader = errors.New("not the leader")

func sentinels() rpc.Sentinels {
	return rpc.Sentinels{{Name: "not-leader", Err: errNotLeader, Code: connect.CodeUnavailable}}
}

// world is a federation on a simulated network with one catalog that all see at once.
type world struct {
	t      *testing.T
	fabric *controltest.Fabric

	mu      sync.Mutex // guards all following fields
	cas     map[catalog.DatacenterName][]byte
	changed chan struct{}
	silent  bool                           // changes are not announced
	known   map[catalog.GatewayID][]string // addresses
}

func newWorld(t *testing.T) *world {
	return &world{
		t: t, fabric: controltest.New(), cas: make(map[catalog.DatacenterName][]byte), changed: make(chan struct{}),
		known: map[catalog.GatewayID][]string{
			"east/gw1":  {"203.0.113.1:7443"},
			"west/gw1":  {"203.0.113.77:7443", "203.0.113.2:7443"}, // nobody answers at the first
			"north/gw1": {"203.0.113.3:7443"},
		},
	}
}

func (w *world) find(dc catalog.DatacenterName) ([]byte, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	ca, ok := w.cas[dc]
	return ca, ok
}

func (w *world) watch() <-chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.changed
}

// admit puts a datacenter into the catalog.
func (w *world) admit(dc catalog.DatacenterName, ca []byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cas[dc] = ca
	w.announce()
}

// expel takes a datacenter out of the catalog.
func (w *world) expel(dc catalog.DatacenterName) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.cas, dc)
	w.announce()
}

// announce tells that the catalog has changed; w.mu is held.
func (w *world) announce() {
	if w.silent {
		return
	}
	close(w.changed)
	w.changed = make(chan struct{})
}

// gateway is one gateway of the world, called gw1, with its control port.
type gateway struct {
	world   *world
	id      catalog.GatewayID
	host    *controltest.Host
	ca      *identity.CA
	port    *control.Port
	service *service
	address string
}

// member adds a datacenter with a running gateway.
func (w *world) member(dc catalog.DatacenterName, address string) *gateway {
	w.t.Helper()
	g := w.gateway(dc, address)
	w.admit(dc, g.ca.Certificate())
	g.run()
	return g
}

// gateway makes a gateway that neither runs nor is in the catalog.
func (w *world) gateway(dc catalog.DatacenterName, address string) *gateway {
	w.t.Helper()
	ca, err := identity.NewCA(dc, time.Now())
	require.NoError(w.t, err)
	certifier := identity.NewCertifier(ca, "gw1", nil)
	certifier.SetFederation(federationID)
	g := &gateway{
		world: w, id: catalog.NewGatewayID(dc, "gw1"), ca: ca, service: &service{},
		host: w.fabric.Host(string(dc), address), address: net.JoinHostPort(address, "7443"),
	}
	g.port = control.New(control.Config{
		Listen: netip.MustParseAddrPort("[::]:7443"), Certifier: certifier, CAs: w.find, Changed: w.watch,
		Index:   func() uint64 { return catalogIndex },
		Sockets: g.host, Service: g.service, Sentinels: sentinels(), Addresses: w.addresses,
	})
	return g
}

func (w *world) addresses(id catalog.GatewayID) []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.known[id]
}

// run serves the port until the test ends.
func (g *gateway) run() {
	g.world.t.Helper()
	require.NoError(g.world.t, g.port.Listen(g.world.t.Context()))
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- g.port.Run(ctx) }()
	g.world.t.Cleanup(func() {
		cancel()
		assert.NoError(g.world.t, <-done)
	})
}

// service records what it is asked.
type service struct {
	mu      sync.Mutex // guards all following fields
	authors []string
	joins   []string
	from    []catalog.GatewayID
	enrols  []catalog.GatewayID
	lease   bool
	answer  error
}

func (s *service) set(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answer = err
}

func (s *service) Join(_ context.Context, r *controlpb.JoinRequest) (*controlpb.JoinResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.joins = append(s.joins, r.GetDatacenter().GetName())
	return &controlpb.JoinResponse{Result: &catalogpb.Result{Index: 7}, Snapshot: []byte("catalog")}, s.answer
}

func (s *service) Enrol(_ context.Context, g catalog.Gateway, ask bool) (*controlpb.EnrolResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.enrols = append(s.enrols, g.ID())
	return &controlpb.EnrolResponse{Result: &catalogpb.Result{Index: 7}, Snapshot: []byte("catalog"), Known: ask}, s.answer
}

func (s *service) Apply(_ context.Context, commands []*catalogpb.Command) ([]catalog.Result, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	results := make([]catalog.Result, len(commands))
	for i, command := range commands {
		s.authors = append(s.authors, command.GetAuthor())
		results[i].Index = uint64(i + 1)
	}
	return results, s.answer
}

func (s *service) ReadIndex(_ context.Context, lease bool) (uint64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lease = lease
	return 42, s.answer
}

func (s *service) LeaderOperation(_ context.Context, from catalog.GatewayID, _ *controlpb.LeaderOperationRequest) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.from = append(s.from, from)
	return s.answer
}

// calls is how often the service was reached.
func (s *service) calls() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.authors) + len(s.joins) + len(s.from) + len(s.enrols)
}

// clientConfig is what a well-behaved gateway dials with, verifying nothing.
func clientConfig(certificate *tls.Certificate, protocol string) *tls.Config {
	config := &tls.Config{
		MinVersion: tls.VersionTLS13, CurvePreferences: []tls.CurveID{tls.X25519MLKEM768},
		NextProtos: []string{protocol}, InsecureSkipVerify: true, //nolint:gosec // an attacker does not care
	}
	if certificate != nil {
		config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return certificate, nil }
	}
	return config
}

// issue makes a certificate for gw1 of the CA's datacenter.
func issue(t testing.TB, ca *identity.CA, federation string, at time.Time) *tls.Certificate {
	t.Helper()
	c, err := ca.Issue("gw1", federation, at)
	require.NoError(t, err)
	return c
}

func leafOf(t testing.TB, state tls.ConnectionState) *x509.Certificate {
	t.Helper()
	require.NotEmpty(t, state.PeerCertificates)
	return state.PeerCertificates[0]
}

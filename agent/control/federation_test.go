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

// catalogIndex is the index of the last command in the catalog.
const catalogIndex = 42

var errNotLeader = errors.New("not the leader")

func sentinels() rpc.Sentinels {
	return rpc.Sentinels{{Name: "not-leader", Err: errNotLeader, Code: connect.CodeUnavailable}}
}

// federation is a federation on a simulated network. Its gateways share one catalog.
type federation struct {
	t      *testing.T
	fabric *controltest.Fabric

	mu          sync.Mutex                          // guards all following fields
	former      map[catalog.DatacenterName][][]byte // CAs that are still trusted
	cas         map[catalog.DatacenterName][]byte
	away        map[catalog.GatewayID]bool // each datacenter has gateway gw1, but these
	changed     chan struct{}
	silent      bool                           // the gateways are not notified of changes
	addressBook map[catalog.GatewayID][]string // host:port, best first
}

func newFederation(t *testing.T) *federation {
	return &federation{
		t: t, fabric: controltest.New(), cas: make(map[catalog.DatacenterName][]byte), changed: make(chan struct{}),
		addressBook: map[catalog.GatewayID][]string{
			"east/gw1":  {"203.0.113.1:7443"},
			"west/gw1":  {"203.0.113.77:7443", "203.0.113.2:7443"}, // no host has the first
			"north/gw1": {"203.0.113.3:7443"},
		},
	}
}

func (f *federation) find(dc catalog.DatacenterName) [][]byte {
	f.mu.Lock()
	defer f.mu.Unlock()
	if ca, ok := f.cas[dc]; ok {
		return append([][]byte{ca}, f.former[dc]...)
	}
	return nil
}

// has reports whether the catalog has a gateway.
func (f *federation) has(id catalog.GatewayID) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	_, ok := f.cas[id.Datacenter()]
	return ok && id.Name() == "gw1" && !f.away[id]
}

// removeGateway removes a gateway, but not its datacenter, from the catalog.
func (f *federation) removeGateway(id catalog.GatewayID) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.away = map[catalog.GatewayID]bool{id: true}
	f.notify()
}

func (f *federation) watch() <-chan struct{} {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.changed
}

// admit adds a datacenter to the catalog.
func (f *federation) admit(dc catalog.DatacenterName, ca []byte) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.cas[dc] = ca
	f.notify()
}

// remove removes a datacenter from the catalog.
func (f *federation) remove(dc catalog.DatacenterName) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.cas, dc)
	f.notify()
}

// notify notifies the gateways of a change of the catalog. The caller holds f.mu.
func (f *federation) notify() {
	if f.silent {
		return
	}
	close(f.changed)
	f.changed = make(chan struct{})
}

// gateway is gateway gw1 of a datacenter, with its control port.
type gateway struct {
	federation *federation
	id         catalog.GatewayID
	host       *controltest.Host
	ca         *identity.CA
	port       *control.Port
	service    *service
	address    string
}

// member adds a datacenter with a running gateway.
func (f *federation) member(dc catalog.DatacenterName, address string) *gateway {
	f.t.Helper()
	g := f.gateway(dc, address)
	f.admit(dc, g.ca.Certificate())
	g.run()
	return g
}

// gateway returns a gateway that does not run and is not in the catalog.
func (f *federation) gateway(dc catalog.DatacenterName, address string) *gateway {
	f.t.Helper()
	ca, err := identity.NewCA(dc, time.Now())
	require.NoError(f.t, err)
	certifier := identity.NewCertifier(ca, "gw1", nil)
	certifier.SetFederation(federationID)
	g := &gateway{
		federation: f, id: catalog.NewGatewayID(dc, "gw1"), ca: ca, service: &service{},
		host: f.fabric.Host(string(dc), address), address: net.JoinHostPort(address, "7443"),
	}
	g.port = control.New(control.Config{
		Listen: netip.MustParseAddrPort("[::]:7443"), Certifier: certifier, CAs: f.find, Changed: f.watch,
		Index: func() uint64 { return catalogIndex }, Gateways: f.has, Replicates: f.has,
		Sockets: g.host, Service: control.Service{Admissions: g.service, Copies: g.service, Leadership: g.service, Consensus: g.service}, Sentinels: sentinels(), Addresses: f.addresses,
	})
	return g
}

func (f *federation) addresses(id catalog.GatewayID) []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.addressBook[id]
}

// run serves the port until the test ends.
func (g *gateway) run() {
	g.federation.t.Helper()
	require.NoError(g.federation.t, g.port.Listen(g.federation.t.Context()))
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- g.port.Run(ctx) }()
	g.federation.t.Cleanup(func() {
		cancel()
		assert.NoError(g.federation.t, <-done)
	})
}

// service records its calls.
type service struct {
	mu       sync.Mutex // guards all following fields
	authors  []string
	joins    []string
	overlay  string // in the response to a preview; empty: there are no previews
	from     []catalog.GatewayID
	enrols   []catalog.GatewayID
	lease    bool
	answer   error
	messages int // of Apply
}

func (s *service) set(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answer = err
}

func (s *service) Join(_ context.Context, r *controlpb.JoinRequest) (*controlpb.JoinResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.GetPreview() && s.overlay != "" {
		return &controlpb.JoinResponse{Overlay: s.overlay}, s.answer
	}
	s.joins = append(s.joins, r.GetDatacenter().GetName())
	return &controlpb.JoinResponse{Result: &catalogpb.Result{Index: 7}, Snapshot: []byte("catalog")}, s.answer
}

func (s *service) Enrol(_ context.Context, g catalog.Gateway, lookupOnly bool) (*controlpb.EnrolResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.enrols = append(s.enrols, g.ID())
	return &controlpb.EnrolResponse{Result: &catalogpb.Result{Index: 7}, Snapshot: []byte("catalog"), Known: lookupOnly}, s.answer
}

func (s *service) Apply(_ context.Context, commands []*catalogpb.Command) ([]catalog.Result, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.messages++
	results := make([]catalog.Result, len(commands))
	for i, command := range commands {
		if command.GetClient() == rejectedClient {
			return nil, &catalog.Refusal{Code: "rejected", Message: "the command is rejected"}
		}
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

func (s *service) Electorate() (*controlpb.ElectorateResponse, error) {
	return &controlpb.ElectorateResponse{Term: 7, Voters: []*controlpb.ElectorateResponse_Voter{{Gateway: "west/gw1"}}}, nil
}

func (s *service) Identify(challenge []byte) (*controlpb.IdentifyResponse, error) {
	return &controlpb.IdentifyResponse{Process: []byte("process"), Signature: challenge}, nil
}

func (s *service) FindCopies(_ context.Context, from catalog.GatewayID, r *controlpb.FindCopiesRequest) (*controlpb.FindCopiesResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.from = append(s.from, from)
	return &controlpb.FindCopiesResponse{Copies: []*controlpb.FindCopiesResponse_Copy{{Identity: &controlpb.IdentifyResponse{Process: r.GetProcess()}}}}, nil
}

func (s *service) LeaderOperation(_ context.Context, from catalog.GatewayID, _ *controlpb.LeaderOperationRequest) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.from = append(s.from, from)
	return s.answer
}

// rejectedClient is the client of a command for which a service rejects its message.
const rejectedClient = "rejected"

// calls returns the number of calls.
func (s *service) calls() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.authors) + len(s.joins) + len(s.from) + len(s.enrols)
}

// clientConfig returns the TLS configuration of a gateway that does not verify its
// peer.
func clientConfig(certificate *tls.Certificate, protocol string) *tls.Config {
	cfg := &tls.Config{
		MinVersion: tls.VersionTLS13, CurvePreferences: []tls.CurveID{tls.X25519MLKEM768},
		NextProtos: []string{protocol}, InsecureSkipVerify: true, //nolint:gosec // the caller may be an attacker
	}
	if certificate != nil {
		cfg.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return certificate, nil }
	}
	return cfg
}

// issue returns a certificate for gw1 of the CA's datacenter.
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

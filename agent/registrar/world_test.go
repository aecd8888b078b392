package registrar_test

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/meshway/meshway/agent/config"
	"github.com/meshway/meshway/agent/identity"
	"github.com/meshway/meshway/agent/notify"
	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/agent/registrar"
	"github.com/meshway/meshway/agent/state"
	"github.com/meshway/meshway/agent/trust"
	"github.com/meshway/meshway/consensus"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/catalogpb"
	"github.com/meshway/meshway/consensus/catalog/replica"
)

const federationID = "7f1a6f0e-7f4d-4b68-8f0f-5a1c1d1e2f3a"

// fakeCatalog applies commands to a catalog with datacenter east and its gateway
// east/gw, in this process.
type fakeCatalog struct {
	changed notify.Broadcast
	now     *timestamppb.Timestamp

	mu     sync.Mutex // guards all following
	state  *replica.State
	index  uint64
	err    error                      // of Propose; nothing is applied then
	before func(*catalogpb.Command)   // called before a command is applied; may be nil
	puts   map[string]int             // commands with a service, by its name
	refuse map[string]catalog.Refusal // by name of service
	reject string                     // name of a service, whose command rejects its call
	calls  int                        // of Propose
	crash  *crash                     // of the process that proposes
}

func (c *fakeCatalog) View() *replica.View {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.state.View()
}

func (c *fakeCatalog) Changed() <-chan struct{} { return c.changed.Changed() }

func (c *fakeCatalog) Read(context.Context, consensus.ReadMode) (*replica.View, consensus.Freshness, error) {
	return c.View(), consensus.Freshness{}, nil
}

func (c *fakeCatalog) Propose(ctx context.Context, commands ...*catalogpb.Command) ([]catalog.Result, error) {
	if c.before != nil {
		c.before(commands[0])
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := errors.Join(ctx.Err(), c.crash.point()); err != nil {
		return nil, err
	}
	c.calls++
	for _, command := range commands {
		if s := command.GetPutServices().GetServices(); c.reject != "" && len(s) > 0 && s[0].GetName() == c.reject {
			return nil, consensus.ErrRejected
		}
	}
	if c.err != nil {
		return nil, c.err
	}
	if c.puts["web"] > 100 {
		return nil, consensus.ErrNoLeader // a test is about to loop indefinitely
	}
	before := c.index
	defer func() {
		if c.index != before {
			c.changed.Notify()
		}
	}()
	var results []catalog.Result
	for _, command := range commands {
		result, err := c.apply(command)
		if err != nil {
			return nil, err
		}
		results = append(results, result)
	}
	return results, c.crash.point()
}

func (c *fakeCatalog) apply(command *catalogpb.Command) (catalog.Result, error) {
	for _, s := range command.GetPutServices().GetServices() {
		c.puts[s.GetName()]++
		if refusal, ok := c.refuse[s.GetName()]; ok {
			c.index++ // a refused command is in the log too
			return catalog.Result{Refusal: &refusal}, nil
		}
	}
	command.Author, command.At = "east/gw", c.now
	entry, err := catalog.Marshal(command)
	if err != nil {
		return catalog.Result{}, err
	}
	c.index++
	results, err := c.state.Apply(c.index, entry)
	if err != nil {
		return catalog.Result{}, err
	}
	return results[0], nil
}

// set changes the fields that mu guards.
func (c *fakeCatalog) set(change func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	change()
}

// services returns the names of the services in the catalog.
func (c *fakeCatalog) services() []string { return names(c.View().Services(replica.ServiceFilter{})) }

func names(services []catalog.Service) []string {
	names := []string{}
	for _, s := range services {
		names = append(names, s.Name)
	}
	return names
}

// memoryStore is a Store in memory.
type memoryStore struct {
	mu       sync.Mutex // guards all following
	services []catalog.Service
	err      error
	delay    time.Duration // of each Update
	saved    int           // number of calls of Update
	crash    *crash        // of the process that updates
}

func (s *memoryStore) Load() ([]catalog.Service, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.services), s.err
}

func (s *memoryStore) Update(put []catalog.Service, remove []catalog.ServiceKey) error {
	time.Sleep(s.delay)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.saved++
	if err := errors.Join(s.err, s.crash.point()); err != nil {
		return err
	}
	s.services = slices.DeleteFunc(s.services, func(have catalog.Service) bool {
		same := func(other catalog.Service) bool { return other.ServiceKey == have.ServiceKey }
		return slices.ContainsFunc(put, same) || slices.Contains(remove, have.ServiceKey)
	})
	s.services = append(s.services, put...)
	return s.crash.point()
}

// crash ends a process after a number of points: from then on, it has no effect. A nil
// crash never comes.
type crash struct{ left atomic.Int64 }

var errCrashed = errors.New("crashed")

func (c *crash) point() error {
	if c != nil && c.left.Add(-1) < 0 {
		return errCrashed
	}
	return nil
}

// world is a registrar of gateway east/gw with its catalog.
type world struct {
	*registrar.Registrar
	catalog *fakeCatalog
	store   *memoryStore
	gateway catalog.Gateway
	config  registrar.Config
}

func newWorld(t *testing.T, configured ...catalog.Service) *world {
	t.Helper()
	now := time.Now()
	ca, err := identity.NewCA("east", now)
	require.NoError(t, err)
	gateway := catalog.Gateway{
		Datacenter: "east", Name: "gw", PublicKey: catalog.Key{1}, Version: "devel",
		Endpoints: []string{"203.0.113.1:51820"}, Controls: []string{"203.0.113.1:7443"},
	}
	c := &fakeCatalog{
		state: replica.New(), now: timestamppb.New(now), puts: map[string]int{}, refuse: map[string]catalog.Refusal{},
	}
	results, err := c.Propose(t.Context(), catalog.NewInit(
		catalog.Federation{ID: federationID, Name: "test", Overlay: netip.MustParsePrefix("fd00:1::/48"), CreatedAt: now},
		catalog.Datacenter{Name: "east", CACertificate: ca.Certificate(), JoinedAt: now, Prefixes: prefixes()},
		gateway,
	))
	require.NoError(t, err)
	require.Nil(t, results[0].Refusal)
	signer := newSigner(t, ca)
	gateway, _ = c.View().Gateway("east/gw")
	dc, _ := c.View().Datacenter("east")
	records := []*catalogpb.Command{catalog.NewUpdateGateway(gateway), catalog.NewUpdateDatacenter(dc)}
	require.NoError(t, signer.Sign(c.View(), records))
	_, err = c.Propose(t.Context(), records...)
	require.NoError(t, err)
	w := &world{catalog: c, store: &memoryStore{}, gateway: gateway}
	w.config = registrar.Config{
		File:    config.Config{Datacenter: "east", Gateway: "gw", Services: configured},
		Catalog: c,
		Signer:  signer,
		Store:   w.store,
		Log:     slog.New(slog.DiscardHandler),
	}
	w.open(t)
	return w
}

// open opens the registrar as a process does that starts.
func (w *world) open(t *testing.T) {
	t.Helper()
	var err error
	w.Registrar, err = registrar.Open(w.config)
	require.NoError(t, err)
	w.Set(plan.Registration{Known: true, Gateway: w.gateway, Prefixes: prefixes()})
}

// newSigner returns the authenticator of gateway east/gw.
func newSigner(t *testing.T, ca *identity.CA) *trust.Authenticator {
	t.Helper()
	certifier := identity.NewCertifier(ca, "gw", nil)
	certifier.SetFederation(federationID)
	authenticator, err := trust.Open(state.File[trust.Ledger]{Path: filepath.Join(t.TempDir(), "trust.json")}, certifier)
	require.NoError(t, err)
	return authenticator
}

// run runs the registrar in the current bubble.
func (w *world) run(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- w.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		assert.NoError(t, <-ended)
	})
	synctest.Wait()
}

func prefixes() []catalog.Prefix {
	return []catalog.Prefix{{CIDR: netip.MustParsePrefix("10.1.0.0/16"), Kind: catalog.PodPrefix}}
}

func service(name string, address string) catalog.Service {
	return catalog.Service{
		ServiceKey: catalog.ServiceKey{Namespace: "default", Name: name, Instance: "a"},
		Address:    netip.MustParseAddr(address), Ports: []catalog.Port{{Protocol: "tcp", Number: 80}},
	}
}

package federation

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"github.com/google/uuid"

	"github.com/meshway/meshway/agent"
	"github.com/meshway/meshway/agent/config"
	"github.com/meshway/meshway/agent/control"
	"github.com/meshway/meshway/agent/control/controlpb"
	"github.com/meshway/meshway/agent/identity"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/raftnode"
)

// seedFile holds the catalog as the inviting gateway sent it, until raft has
// sent it too. It lies in raft's directory, so that it goes with it.
const seedFile = "join.snapshot"

// Config is what a Manager needs.
type Config struct {
	Config config.Config
	Store  *identity.Store
	// Sockets makes the sockets of the control port. The overlay prefix is
	// asked for at each dial: it is known only to a member.
	Sockets func(overlay func() netip.Prefix) control.Sockets
	Log     *slog.Logger
}

// Manager founds, joins, opens and forgets the federation of one gateway.
type Manager struct {
	cfg     config.Config
	store   *identity.Store
	sockets func(func() netip.Prefix) control.Sockets
	log     *slog.Logger
}

var _ agent.Federations = (*Manager)(nil)

// New returns a manager that does nothing until it is asked to.
func New(c Config) *Manager {
	return &Manager{cfg: c.Config, store: c.Store, sockets: c.Sockets, log: c.Log}
}

func (m *Manager) self() catalog.GatewayID {
	return catalog.NewGatewayID(m.cfg.Datacenter, m.cfg.Gateway)
}

// Current implements agent.Federations.
func (m *Manager) Current() (agent.Membership, bool, error) {
	stored, ok, err := m.store.Membership()
	if err != nil || !ok {
		return agent.Membership{}, false, err
	}
	if err := m.store.Check(stored, m.cfg.Datacenter, m.cfg.Gateway); err != nil {
		return agent.Membership{}, false, err
	}
	has, err := raftnode.HasState(m.store.RaftDir())
	if err != nil {
		return agent.Membership{}, false, err
	}
	if _, err := os.Stat(m.seedPath()); !has && errors.Is(err, os.ErrNotExist) {
		return agent.Membership{}, false, fmt.Errorf("the gateway is a member of federation %s, but its catalog in %s is gone: "+
			"restore the directory, or leave with meshd uninstall --force and join again", stored.FederationName, m.store.RaftDir())
	}
	return agent.Membership{
		FederationID: stored.FederationID, FederationName: stored.FederationName, Overlay: stored.OverlayAddress,
	}, true, nil
}

// Found implements agent.Federations. The membership is stored last, so that
// an interrupted founding leaves nothing that counts.
func (m *Manager) Found(ctx context.Context, founding agent.Founding, candidate agent.Candidate) error {
	overlay := founding.Overlay
	if !overlay.IsValid() {
		var err error
		if overlay, err = randomULA(); err != nil {
			return err
		}
	}
	ca, err := m.store.CA(m.cfg.Datacenter, time.Now())
	if err != nil {
		return err
	}
	if err := m.store.DiscardRaft(); err != nil {
		return err
	}
	federation := catalog.Federation{
		ID: uuid.NewString(), Name: founding.Name, Overlay: overlay, CreatedAt: time.Now().UTC().Truncate(time.Second),
	}
	datacenter := catalog.Datacenter{
		Name: m.cfg.Datacenter, CACertificate: ca.Certificate(), Prefixes: candidate.Prefixes,
		JoinedAt: federation.CreatedAt,
	}
	gateway, err := m.bootstrap(ctx, federation, datacenter, candidate.Gateway)
	if err != nil {
		return errors.Join(err, m.store.DiscardRaft())
	}
	return m.store.SaveMembership(m.membership(federation, gateway))
}

// bootstrap runs the new catalog, alone, until it holds its first command.
func (m *Manager) bootstrap(ctx context.Context, f catalog.Federation, dc catalog.Datacenter, g catalog.Gateway) (catalog.Gateway, error) {
	member, err := m.open(f.ID, func() netip.Prefix { return f.Overlay })
	if err != nil {
		return catalog.Gateway{}, err
	}
	if err := errors.Join(member.port.Listen(ctx), member.node.Bootstrap()); err != nil {
		return catalog.Gateway{}, errors.Join(err, member.close())
	}
	running, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- member.Run(running) }()
	results, err := member.Propose(ctx, catalog.NewInit(f, dc, g))
	stop()
	if err := errors.Join(err, <-ended); err != nil {
		return catalog.Gateway{}, fmt.Errorf("found federation: %w", err)
	}
	if refusal := results[0].Refusal; refusal != nil {
		return catalog.Gateway{}, refusal
	}
	return results[0].Gateway, nil
}

// Join implements agent.Federations.
func (m *Manager) Join(ctx context.Context, text string, candidate agent.Candidate, progress func(step, message string)) error {
	token, err := identity.ParseToken(text)
	if err != nil {
		return err
	}
	ca, err := m.store.CA(m.cfg.Datacenter, time.Now())
	if err != nil {
		return err
	}
	sockets := m.sockets(nil)
	if err := m.portIsFree(ctx, sockets); err != nil {
		return err
	}
	joiner := control.Joiner{CA: ca, Sockets: sockets, Sentinels: Sentinels(), Progress: progress}
	response, err := joiner.Join(ctx, token, &controlpb.JoinRequest{
		Datacenter: catalog.Datacenter{Prefixes: candidate.Prefixes}.Proto(),
		Gateway:    candidate.Gateway.Proto(),
	})
	if err != nil {
		return err
	}
	return m.admitted(response, progress)
}

// portIsFree finds a control port that is in use before anything has changed.
func (m *Manager) portIsFree(ctx context.Context, sockets control.Sockets) error {
	listener, err := sockets.Listen(ctx, m.cfg.Control.Listen, control.Underlay)
	if err != nil {
		return fmt.Errorf("control.listen: %w", err)
	}
	return listener.Close()
}

// admitted keeps what the federation answered.
func (m *Manager) admitted(response *controlpb.JoinResponse, progress func(step, message string)) error {
	result, err := catalog.ResultFromProto(response.GetResult())
	if err != nil {
		return fmt.Errorf("read the federation's answer: %w", err)
	}
	if result.Refusal != nil {
		return result.Refusal
	}
	state, err := catalog.Decode(bytes.NewReader(response.GetSnapshot()))
	if err != nil {
		return fmt.Errorf("read the federation's catalog: %w", err)
	}
	federation, ok := state.View().Federation()
	if !ok {
		return errors.New("read the federation's catalog: it is empty")
	}
	if err := m.store.DiscardRaft(); err != nil {
		return err
	}
	if err := m.saveSeed(response.GetSnapshot()); err != nil {
		return err
	}
	if err := m.store.SaveMembership(m.membership(federation, result.Gateway)); err != nil {
		return err
	}
	progress("admitted", fmt.Sprintf("admitted to federation %s as %s, overlay address %s",
		federation.Name, result.Gateway.ID(), result.Gateway.Overlay))
	return nil
}

func (m *Manager) membership(f catalog.Federation, g catalog.Gateway) identity.Membership {
	return identity.Membership{
		FederationID: f.ID, FederationName: f.Name, Datacenter: m.cfg.Datacenter, Gateway: m.cfg.Gateway,
		Overlay: f.Overlay, OverlayAddress: g.Overlay,
	}
}

// Open implements agent.Federations.
func (m *Manager) Open() (agent.Federation, error) {
	stored, ok, err := m.store.Membership()
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, errors.New("open federation: this gateway is in none")
	}
	member, err := m.open(stored.FederationID, func() netip.Prefix { return stored.Overlay })
	if err != nil {
		return nil, err
	}
	if err := m.seed(member.node); err != nil {
		return nil, errors.Join(err, member.close())
	}
	member.port.SetOverlay(stored.OverlayAddress)
	return member, nil
}

func (m *Manager) open(federationID string, overlay func() netip.Prefix) (*Member, error) {
	ca, err := m.store.CA(m.cfg.Datacenter, time.Now())
	if err != nil {
		return nil, err
	}
	certifier := identity.NewCertifier(ca, m.cfg.Gateway, nil)
	certifier.SetFederation(federationID)
	return newMember(memberConfig{
		self: m.self(), federationID: federationID, cfg: m.cfg, dir: m.store.RaftDir(), certifier: certifier,
		sockets: m.sockets(overlay), log: m.log,
	})
}

// Forget implements agent.Federations.
func (m *Manager) Forget() error { return m.store.ClearMembership() }

func (m *Manager) seedPath() string { return filepath.Join(m.store.RaftDir(), seedFile) }

func (m *Manager) saveSeed(snapshot []byte) error {
	if err := os.MkdirAll(m.store.RaftDir(), 0o700); err != nil {
		return fmt.Errorf("keep the federation's catalog: %w", err)
	}
	if err := os.WriteFile(m.seedPath(), snapshot, 0o600); err != nil {
		return fmt.Errorf("keep the federation's catalog: %w", err)
	}
	return nil
}

// seed gives a newcomer the catalog that it was admitted to.
func (m *Manager) seed(node *raftnode.Node) error {
	data, err := os.ReadFile(m.seedPath())
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read the federation's catalog: %w", err)
	}
	state, err := catalog.Decode(bytes.NewReader(data))
	if err != nil {
		return fmt.Errorf("the copy of the catalog in %s is corrupt: %w: leave with meshd uninstall --force and join again", m.seedPath(), err)
	}
	return node.Seed(state.View())
}

// randomULA makes a unique local /48 (RFC 4193, section 3.2).
func randomULA() (netip.Prefix, error) {
	addr := [16]byte{0: 0xfd}
	if _, err := rand.Read(addr[1:6]); err != nil {
		return netip.Prefix{}, fmt.Errorf("choose an overlay prefix: %w", err)
	}
	return netip.PrefixFrom(netip.AddrFrom16(addr), 48), nil
}

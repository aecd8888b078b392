package federation

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/meshway/meshway/agent"
	"github.com/meshway/meshway/agent/config"
	"github.com/meshway/meshway/agent/control"
	"github.com/meshway/meshway/agent/identity"
	"github.com/meshway/meshway/agent/status"
	"github.com/meshway/meshway/consensus"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/catalogpb"
	"github.com/meshway/meshway/consensus/raftnode"
)

// pollInterval is how often a leaver looks whether it still has duties.
const pollInterval = 50 * time.Millisecond

// Member is this gateway's part of a federation: its raft node and its
// control port. It implements agent.Federation.
type Member struct {
	self      catalog.GatewayID
	cfg       config.Config
	certifier *identity.Certifier
	port      *control.Port
	node      *raftnode.Node
	log       *slog.Logger
}

var _ agent.Federation = (*Member)(nil)

type memberConfig struct {
	self         catalog.GatewayID
	federationID string
	cfg          config.Config
	dir          string // of raft
	certifier    *identity.Certifier
	sockets      control.Sockets
	log          *slog.Logger
}

func newMember(c memberConfig) (*Member, error) {
	m := &Member{self: c.self, cfg: c.cfg, certifier: c.certifier, log: c.log}
	m.port = control.New(control.Config{
		Listen: c.cfg.Control.Listen, Certifier: c.certifier, CAs: m.authority, Changed: m.Changed, Index: m.index,
		Sockets: c.sockets, Service: &service{member: m}, Addresses: m.addresses,
		Sentinels: Sentinels(), Log: c.log,
	})
	node, err := raftnode.Open(raftnode.Config{
		ID: c.self, Federation: c.federationID, Dir: c.dir, Timers: timersOf(c.cfg.Raft),
		SnapshotThreshold: c.cfg.Raft.SnapshotThreshold,
		Network:           m.port.Raft(), Remote: remote{m.port.Client()}, Addresses: m.addresses, Log: c.log,
	})
	if err != nil {
		return nil, err
	}
	m.node = node
	return m, nil
}

// timersOf starts with those of a LAN unless told otherwise; Tune adapts them.
func timersOf(c config.Raft) raftnode.Timers {
	if c.Timers == "wan" {
		return raftnode.WAN()
	}
	return raftnode.LAN()
}

func (m *Member) close() error { return errors.Join(m.node.Close(), m.port.Close()) }

// Run implements agent.Federation. The node ends first: handing leadership
// over needs the port.
func (m *Member) Run(ctx context.Context) error {
	if err := m.port.Listen(ctx); err != nil {
		return errors.Join(err, m.node.Close())
	}
	group, ctx := errgroup.WithContext(ctx)
	port, stop := context.WithCancel(context.WithoutCancel(ctx))
	group.Go(func() error {
		defer stop()
		return m.node.Run(ctx)
	})
	group.Go(func() error { return m.port.Run(port) })
	return group.Wait()
}

// authority returns the CA of a datacenter that is a member now.
func (m *Member) authority(dc catalog.DatacenterName) ([]byte, bool) {
	found, ok := m.node.View().Datacenter(dc)
	return found.CACertificate, ok
}

// index is up to where the own copy of the catalog goes.
func (m *Member) index() uint64 { return m.node.View().Index() }

// addresses returns where a gateway's control port may be reached: through
// the tunnel, which needs only UDP to be open, then on the underlay. Between
// gateways of one datacenter there is no tunnel.
func (m *Member) addresses(id catalog.GatewayID) []string {
	g, ok := m.node.View().Gateway(id)
	if !ok {
		return nil
	}
	if g.Datacenter == m.cfg.Datacenter {
		return g.Controls
	}
	var addresses []string
	for _, hostport := range g.Controls[:min(1, len(g.Controls))] {
		if _, port, err := net.SplitHostPort(hostport); err == nil {
			addresses = append(addresses, net.JoinHostPort(g.Overlay.String(), port))
		}
	}
	return append(addresses, g.Controls...)
}

// View implements agent.Federation.
func (m *Member) View() *catalog.View { return m.node.View() }

// Changed implements agent.Federation.
func (m *Member) Changed() <-chan struct{} { return m.node.Changed() }

// Propose implements agent.Federation.
func (m *Member) Propose(ctx context.Context, commands ...*catalogpb.Command) ([]catalog.Result, error) {
	results, err := m.node.Propose(ctx, commands...)
	if errors.Is(err, consensus.ErrBehind) {
		return results, nil // it is written; only reading it here may take a while
	}
	return results, explain(err)
}

// explain gives errors of consensus the meaning that the agent knows.
func explain(err error) error {
	switch {
	case errors.Is(err, consensus.ErrUncertain):
		return fmt.Errorf("%w: see whether it took effect before trying again", err)
	case errors.Is(err, consensus.ErrNoLeader):
		return fmt.Errorf("%w: %w", agent.ErrNoLeader, err)
	}
	return err
}

// Read implements agent.Federation.
func (m *Member) Read(ctx context.Context, mode agent.ReadMode) (*catalog.View, agent.Freshness, error) {
	view, fresh, err := m.node.Read(ctx, modeOf(mode))
	return view, agent.Freshness{
		Index: fresh.Index, Leader: fresh.Leader, LastContact: fresh.LastContact,
	}, explain(err)
}

func modeOf(mode agent.ReadMode) consensus.ReadMode {
	switch mode {
	case agent.StaleRead:
		return consensus.StaleRead
	case agent.ConsistentRead:
		return consensus.ConsistentRead
	default:
		return consensus.LeaseRead
	}
}

// Consensus implements agent.Federation.
func (m *Member) Consensus() status.Consensus {
	s := m.node.Status()
	answer := status.Consensus{
		Role: s.Role, Leader: s.Leader, Term: s.Term, AppliedIndex: s.AppliedIndex,
		CommitIndex: s.CommitIndex, LastContact: s.LastContact, Timers: s.Timers,
	}
	for _, p := range s.Peers {
		answer.Peers = append(answer.Peers, status.ConsensusPeer{
			ID: p.ID, Voter: p.Voter, Healthy: p.Healthy, LastContact: p.LastContact, LastIndex: p.LastIndex,
		})
	}
	return answer
}

// Certificate implements agent.Federation.
func (m *Member) Certificate() time.Time {
	certificate, err := m.certifier.Certificate()
	if err != nil || certificate.Leaf == nil {
		return time.Time{}
	}
	return certificate.Leaf.NotAfter
}

// Tune implements agent.Federation.
func (m *Member) Tune(slowest time.Duration) {
	if m.cfg.Raft.Timers != "auto" {
		return
	}
	// Between the two nothing changes, so that a path near the limit does
	// not make raft restart again and again.
	const far, near = 100 * time.Millisecond, 50 * time.Millisecond
	timers := raftnode.LAN()
	switch wan := m.node.Status().Timers == raftnode.WAN().Name; {
	case slowest > far, wan && slowest > near:
		timers = raftnode.WAN()
	}
	if err := m.node.SetTimers(timers); err != nil {
		m.log.Error("cannot change raft's timers", "err", err)
	}
}

// Leave implements agent.Federation. The own copy does not learn of it: who
// has left is sent nothing any more.
func (m *Member) Leave(ctx context.Context) error {
	switch err := m.node.Abstain(ctx); {
	case errors.Is(err, consensus.ErrNoLeader):
		return explain(err)
	case err != nil: // an older leader, or voters that are away
		m.log.Warn("the datacenter leaves with votes that others may miss", "err", err)
	}
	results, err := m.node.Submit(ctx, catalog.NewLeave(m.cfg.Datacenter))
	if err != nil {
		return explain(err)
	}
	if refusal := results[0].Refusal; refusal != nil {
		return refusal
	}
	return nil
}

// Withdraw implements agent.Federation. A leader that is no longer in the
// catalog hands over by itself.
func (m *Member) Withdraw(ctx context.Context) error {
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	for {
		if !m.onDuty() {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("hand over the catalog: %w", ctx.Err())
		case <-tick.C:
		}
	}
}

// onDuty says whether others still depend on this node. A follower is not
// missed: the leader takes its vote away.
func (m *Member) onDuty() bool {
	s := m.node.Status()
	return len(s.Peers) > 1 && s.Role == "leader"
}

// CreateToken implements agent.Federation.
func (m *Member) CreateToken(ctx context.Context, datacenter catalog.DatacenterName, ttl time.Duration) (agent.NewToken, error) {
	view := m.node.View()
	federation, _ := view.Federation()
	token, err := identity.NewToken(identity.Token{
		FederationID: federation.ID, FederationName: federation.Name, Endpoints: m.invitation(view),
		Pin: m.certifier.CA().Pin(), Datacenter: datacenter, ExpiresAt: time.Now().Add(ttl),
	})
	if err != nil {
		return agent.NewToken{}, err
	}
	results, err := m.Propose(ctx, catalog.NewCreateToken(catalog.Token{
		ID: token.ID, SecretHash: token.Secret.Hash(), Datacenter: datacenter,
		CreatedBy: m.self, CreatedAt: time.Now(), ExpiresAt: token.ExpiresAt,
	}))
	if err != nil {
		return agent.NewToken{}, err
	}
	if refusal := results[0].Refusal; refusal != nil {
		return agent.NewToken{}, refusal
	}
	text, err := token.Encode()
	if err != nil {
		return agent.NewToken{}, err
	}
	return agent.NewToken{Text: text, ID: token.ID, ExpiresAt: token.ExpiresAt, Endpoints: token.Endpoints}, nil
}

// invitation lists the control ports of this datacenter's gateways, this one
// first: only they can prove the pin.
func (m *Member) invitation(v *catalog.View) []string {
	var own, others []string
	for _, g := range v.Gateways() {
		switch {
		case g.ID() == m.self:
			own = g.Controls
		case g.Datacenter == m.cfg.Datacenter:
			others = append(others, g.Controls...)
		}
	}
	return append(append([]string{}, own...), others...)
}

// TransferLeader implements agent.Federation.
func (m *Member) TransferLeader(ctx context.Context, to catalog.GatewayID) error {
	return explain(m.node.TransferLeader(ctx, to))
}

// RemovePeer implements agent.Federation.
func (m *Member) RemovePeer(ctx context.Context, id catalog.GatewayID) error {
	return explain(m.node.RemovePeer(ctx, id))
}

// SaveSnapshot implements agent.Federation.
func (m *Member) SaveSnapshot(ctx context.Context, mode agent.ReadMode) ([]byte, uint64, error) {
	archive, info, err := m.node.SaveSnapshot(ctx, modeOf(mode))
	return archive, info.Index, explain(err)
}

// Restore implements agent.Federation.
func (m *Member) Restore(ctx context.Context, archive []byte) (uint64, error) {
	if err := m.node.Restore(ctx, archive); err != nil {
		return 0, explain(err)
	}
	return m.node.View().Index(), nil
}

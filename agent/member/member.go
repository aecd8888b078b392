package member

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/meshway/meshway/agent/config"
	"github.com/meshway/meshway/agent/control"
	"github.com/meshway/meshway/agent/identity"
	"github.com/meshway/meshway/agent/notify"
	"github.com/meshway/meshway/agent/trust"
	"github.com/meshway/meshway/consensus"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/catalogpb"
	"github.com/meshway/meshway/consensus/catalog/feed"
	"github.com/meshway/meshway/consensus/catalog/replica"
	"github.com/meshway/meshway/consensus/catalog/sponsor"
	"github.com/meshway/meshway/consensus/raftnode"
)

// Member is this gateway's part of a federation: its member of the replicated
// catalog and its control port.
type Member struct {
	file      config.Config
	certifier *identity.Certifier
	trust     *trust.Authenticator
	port      *control.Port
	node      *raftnode.Node
	process   Process
	distance  distance // used by Tune only
	log       *slog.Logger
}

type memberConfig struct {
	file         config.Config
	federationID string
	dir          string // of raft
	certifier    *identity.Certifier
	sockets      control.Sockets
	process      Process
	refuse       func(catalog.Datacenter, catalog.Gateway) error
	log          *slog.Logger
}

func open(cfg memberConfig) (*Member, error) {
	authenticator, err := trust.Open(ledgerFile(cfg.dir), cfg.certifier)
	if err != nil {
		return nil, err
	}
	m := &Member{file: cfg.file, certifier: cfg.certifier, trust: authenticator, process: cfg.process, log: cfg.log}
	m.port = control.New(control.Config{
		Listen:     cfg.file.Control.Listen,
		Certifier:  cfg.certifier,
		CAs:        m.authorities,
		CAsChanged: authenticator.Changed,
		Gateways: func(id catalog.GatewayID) bool {
			_, ok := m.node.View().Gateway(id)
			return ok
		},
		Replicates: func(id catalog.GatewayID) bool { return m.node.Admits(id) },
		Changed:    m.TopologyChanged,
		Index:      func() uint64 { return m.node.View().Index() },
		Sockets:    cfg.sockets,
		Service:    controlService(&service{member: m, refuse: cfg.refuse}),
		Known:      (&knownAddresses{view: m.View}).contains,
		Addresses:  m.addresses,
		Sentinels:  Sentinels(),
		Now:        cfg.certifier.Now,
		Log:        cfg.log,
	})
	node, err := raftnode.Open(raftnode.Config{
		ID:                cfg.file.GatewayID(),
		Federation:        cfg.federationID,
		Dir:               cfg.dir,
		LogStore:          raftnode.LogStore(cfg.file.Raft.Store),
		Timers:            initialTimers(cfg.file.Raft),
		SnapshotThreshold: cfg.file.Raft.SnapshotThreshold,
		Network:           m.port.Raft(),
		Remote:            remote{m.port.Client()},
		Addresses:         m.addresses,
		Verify:            authenticator.CheckSnapshot,
		SignArchive:       m.signArchive,
		Log:               cfg.log,
	})
	if err != nil {
		return nil, err
	}
	m.node = node
	m.PresentChain()
	return m, nil
}

// initialTimers returns the timers of a LAN unless those of a WAN are
// configured; Tune adapts them.
func initialTimers(cfg config.Raft) raftnode.Timers {
	if cfg.Timers == "wan" {
		return raftnode.WAN()
	}
	return raftnode.LAN()
}

func (m *Member) close() error { return errors.Join(m.node.Close(), m.port.Close()) }

// Run takes part in the catalog and serves the control port until ctx ends. The
// node stops first: the transfer of leadership needs the port.
func (m *Member) Run(ctx context.Context) error {
	if err := m.port.Listen(ctx); err != nil {
		return errors.Join(err, m.node.Close())
	}
	group, ctx := errgroup.WithContext(ctx)
	portCtx, stopPort := context.WithCancel(context.WithoutCancel(ctx))
	group.Go(func() error {
		defer stopPort()
		return m.node.Run(ctx)
	})
	group.Go(func() error { return m.port.Run(portCtx) })
	return group.Wait()
}

// authorities returns the CAs of a datacenter that is a member now. A leader that
// replaces them in the catalog does not change which ones are trusted.
func (m *Member) authorities(dc catalog.DatacenterName) [][]byte {
	found, ok := m.node.View().Datacenter(dc)
	if !ok {
		// The local copy may be so far behind that the leader's datacenter is new.
		if found.CACertificate, ok = m.node.CA(dc); !ok {
			return nil
		}
	}
	return m.trust.CAs(dc, found.CACertificate)
}

// Trust returns what this gateway remembers of the records of the others.
func (m *Member) Trust() *trust.Authenticator { return m.trust }

// addresses returns where the control port of a gateway may be reached: through
// the tunnel, which needs only UDP, then on the underlay. Between gateways of
// one datacenter there is no tunnel.
func (m *Member) addresses(id catalog.GatewayID) []string {
	g, ok := m.node.View().Gateway(id)
	if !ok {
		return nil
	}
	if g.Datacenter == m.file.Datacenter {
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

// View returns the newest local state of the catalog; after a start without
// quorum, the state that was saved last.
func (m *Member) View() *replica.View { return m.node.View() }

// Feed returns the latest changes of the services in View.
func (m *Member) Feed() *feed.Feed { return m.node.Feed() }

// Changed returns a channel that is closed at the next change of View.
func (m *Member) Changed() <-chan struct{} { return m.node.Changed() }

// TopologyChanged is Changed for the federation, its datacenters and gateways, and
// their observations.
func (m *Member) TopologyChanged() <-chan struct{} { return m.node.TopologyChanged() }

// Status returns the state of the replication.
func (m *Member) Status() consensus.Status { return m.node.Status() }

// Propose writes to the catalog through its leader. errors.Is(err,
// consensus.ErrNoLeader) if none was found in time: nothing was written.
func (m *Member) Propose(ctx context.Context, commands ...*catalogpb.Command) ([]catalog.Result, error) {
	results, err := m.node.Propose(ctx, commands...)
	if errors.Is(err, consensus.ErrBehind) {
		return results, nil // it is written; only the local copy does not have it yet
	}
	return results, withRemedy(err)
}

// withRemedy adds what to do after a write whose outcome is unknown.
func withRemedy(err error) error {
	if errors.Is(err, consensus.ErrUncertain) {
		return fmt.Errorf("%w: check whether it took effect before trying again", err)
	}
	return err
}

// Read returns a view that is as current as mode requires.
func (m *Member) Read(ctx context.Context, mode consensus.ReadMode) (*replica.View, consensus.Freshness, error) {
	view, freshness, err := m.node.Read(ctx, mode)
	return view, freshness, withRemedy(err)
}

// CAValidity returns the validity period of the CA of this datacenter.
func (m *Member) CAValidity() (begin, end time.Time) { return m.certifier.CA().Validity() }

// Now returns the time by the clock of this host.
func (m *Member) Now() time.Time { return m.certifier.Now() }

// ClockDifferences returns the gateways whose certificates were refused because of their dates.
func (m *Member) ClockDifferences() []control.ClockDifference { return m.port.ClockDifferences() }

// CertificateEnd returns when the certificate of this gateway expires; zero if
// it has none.
func (m *Member) CertificateEnd() time.Time {
	certificate, err := m.certifier.Certificate()
	if err != nil || certificate.Leaf == nil {
		return time.Time{}
	}
	return certificate.Leaf.NotAfter
}

// Tune adapts the timers of raft to the round trips to other gateways, unless the
// configuration fixes them.
func (m *Member) Tune(roundTrips map[catalog.GatewayID]time.Duration) {
	if m.file.Raft.Timers != "auto" {
		return
	}
	timers := raftnode.LAN()
	status := m.node.Status()
	if m.distance.far(status.Timers == raftnode.WAN().Name, toVoters(status.Peers, roundTrips), time.Now()) {
		timers = raftnode.WAN()
	}
	if err := m.node.SetTimers(timers); err != nil {
		m.log.Error("failed to change the timers of raft", "err", err)
	}
}

// Leave removes the datacenter from the catalog. The local copy does not
// receive the removal: a member that has left is sent nothing.
func (m *Member) Leave(ctx context.Context) error {
	switch err := m.node.Abstain(ctx); {
	case errors.Is(err, consensus.ErrNoLeader):
		return withRemedy(err)
	case err != nil: // an older leader, or voters that are away
		m.log.Warn("failed to give up the votes of this datacenter before it leaves; its voters are removed after it has left", "err", err)
	}
	results, err := m.node.Submit(ctx, catalog.NewLeave(m.file.Datacenter))
	if err != nil {
		return withRemedy(err)
	}
	if refusal := results[0].Refusal; refusal != nil {
		return refusal
	}
	return nil
}

// transferPollInterval is the time between two checks of the role of raft, whose
// change is not reported.
const transferPollInterval = 50 * time.Millisecond

// AwaitTransfer waits until this gateway, which is no longer in the catalog,
// has transferred its leadership. A follower has nothing to transfer: the leader
// removes its vote.
func (m *Member) AwaitTransfer(ctx context.Context) error {
	done := notify.LoopUntil(ctx, transferPollInterval, func(context.Context) bool {
		s := m.node.Status()
		return len(s.Peers) < 2 || s.Role != "leader"
	})
	if !done {
		return fmt.Errorf("transfer the leadership of the catalog: %w", ctx.Err())
	}
	return nil
}

// TransferLeader transfers the leadership to another gateway; empty: the leader
// chooses.
func (m *Member) TransferLeader(ctx context.Context, to catalog.GatewayID) error {
	return withRemedy(m.node.TransferLeader(ctx, to))
}

// StepDown transfers the leadership to another gateway, if this one has it. It is not
// among the events.
func (m *Member) StepDown(ctx context.Context) error { return withRemedy(m.node.StepDown(ctx)) }

// RemovePeer removes a gateway from the members of raft.
func (m *Member) RemovePeer(ctx context.Context, id catalog.GatewayID) error {
	return withRemedy(m.node.RemovePeer(ctx, id))
}

// Events returns the commands that a query selects, oldest first, and the index after
// which the query continues.
func (m *Member) Events(q consensus.EventQuery) ([]consensus.Event, uint64, error) {
	return m.node.Events(q)
}

// SharedState returns what the gateways of this datacenter are to share. It
// depends on the catalog only, so that all gateways compute the same; false:
// the catalog does not have the datacenter.
func (m *Member) SharedState() (identity.SharedState, bool, error) {
	view := m.node.View()
	federation, ok := view.Federation()
	if _, member := view.Datacenter(m.file.Datacenter); !ok || !member {
		return identity.SharedState{}, false, nil
	}
	certificate, key, err := m.certifier.CA().Encode()
	if err != nil {
		return identity.SharedState{}, false, err
	}
	membership := &identity.DatacenterMembership{FederationID: federation.ID, FederationName: federation.Name, Overlay: federation.Overlay}
	sponsors := view.Sponsors(time.Time{}) // of all joins that the catalog has
	for _, g := range view.Gateways() {
		authorities := m.authorities(g.Datacenter)
		if len(authorities) == 0 {
			continue // not the CA that this gateway has seen
		}
		pin, err := identity.PinOf(authorities[0])
		if err != nil {
			return identity.SharedState{}, false, fmt.Errorf("read the CA of %s: %w", g.Datacenter, err)
		}
		contact := identity.Contact{Gateway: g.ID(), Pin: pin.String(), Controls: g.Controls}
		if until := sponsors.Until(g.Datacenter); !until.IsZero() {
			contact.Sponsor = view.Sponsors(until.Add(-sponsor.Time)).Of(g.Datacenter) // by the joins of that week
			contact.Until = until.Truncate(time.Second)
		}
		membership.Contacts = append(membership.Contacts, contact)
	}
	slices.SortFunc(membership.Contacts, func(a, b identity.Contact) int { return cmp.Compare(a.Gateway, b.Gateway) })
	return identity.SharedState{Certificate: certificate, Key: key, Membership: membership}, true, nil
}

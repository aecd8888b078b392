package raftnode

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"

	"github.com/meshway/meshway/consensus"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/feed"
	"github.com/meshway/meshway/consensus/catalog/replica"
	"github.com/meshway/meshway/consensus/raftnode/internal/disk"
	"github.com/meshway/meshway/consensus/raftnode/internal/fsm"
	"github.com/meshway/meshway/consensus/raftnode/internal/hclogger"
	"github.com/meshway/meshway/consensus/raftnode/internal/history"
	"github.com/meshway/meshway/consensus/raftnode/internal/proposals"
	"github.com/meshway/meshway/consensus/raftnode/internal/quorum"
	"github.com/meshway/meshway/consensus/raftnode/internal/transport"
)

// Node is one member: its copy of the catalog and its raft. Its methods may be
// called concurrently.
type Node struct {
	cfg        Config
	log        *slog.Logger
	store      *disk.Store
	history    *history.History
	fsm        *fsm.Machine
	contacts   *transport.Contacts
	writes     writes
	batcher    *proposals.Batcher
	safeguards safeguards
	life       lifecycle

	timers        atomic.Pointer[Timers]
	timersChanged chan struct{}              // size 1
	instance      atomic.Pointer[instance]   // raft; nil while it does not run
	leadership    atomic.Pointer[leadership] // set while this member leads and its first barrier is applied

	// reconfiguration is held over each change of the raft configuration, from
	// the check of the members' health to the commit of the change.
	reconfiguration chanMutex
}

// writes are the commands of this member on their way to the log.
type writes struct {
	session *proposals.Session
	sent    proposals.Attempts
}

// safeguards limit what a single member can do to the others.
type safeguards struct {
	senders  *transport.Senders
	requests quorum.Requests
}

// lifecycle is the way of a Node from Open to its end.
type lifecycle struct {
	started atomic.Bool
	failed  chan error    // size 1: the first fatal error
	done    chan struct{} // closed when Run has ended or Close was called
	closing sync.Once
}

// chanMutex is a mutex that may be held over network round trips: in a synctest
// bubble a goroutine that waits for it does not stop the clock.
type chanMutex chan struct{}

func newChanMutex() chanMutex { return make(chanMutex, 1) }

func (m chanMutex) lock()   { m <- struct{}{} }
func (m chanMutex) unlock() { <-m }

// Open opens the data directory and loads its content. The node does not run
// yet; View returns the newest state that is known to be committed. Errors
// contain the path and the remedy; the content of a directory is never deleted.
func Open(cfg Config) (*Node, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	return openNode(cfg)
}

func openNode(cfg Config) (*Node, error) {
	n := &Node{
		cfg:             cfg,
		log:             cfg.Log,
		contacts:        transport.NewContacts(cfg.Host.Elapsed),
		writes:          writes{session: proposals.NewSession(cfg.ID, cfg.Host.Now())},
		batcher:         proposals.NewBatcher(),
		life:            lifecycle{failed: make(chan error, 1), done: make(chan struct{})},
		safeguards:      safeguards{senders: transport.NewSenders()},
		timersChanged:   make(chan struct{}, 1),
		reconfiguration: newChanMutex(),
	}
	n.timers.Store(&cfg.Timers)
	s, err := disk.Open(cfg.Dir, cfg.LogStore, cfg.Host.Disk, hclogger.New(cfg.Log))
	if err != nil {
		return nil, err
	}
	n.store = s
	n.history = history.New(s, n.isDatacenter, cfg.Log)
	n.fsm = fsm.New(n.history, n.fail)
	n.fsm.OnApply(n.safeguards.requests.CountApplied(func() quorum.Catalog { return n.fsm.View() }))
	s.BeforeCut(n.history.Save)
	if err := n.load(); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return n, nil
}

// load replays the content of the directory, which must be of this gateway and federation.
func (n *Node) load() error {
	owner := disk.Owner{Gateway: n.cfg.ID, Federation: n.cfg.Federation}
	// The directory of another gateway is refused before its content is read.
	if err := n.store.Bind(owner, ""); err != nil {
		return err
	}
	n.history.Load()
	if err := n.store.Replay(n.fsm); err != nil {
		return err
	}
	return n.store.Bind(owner, n.fsm.Federation())
}

// HasState reports whether dir holds the state of a catalog: a log, a term or a
// snapshot. It changes nothing. It fails while a Node has dir open.
func HasState(dir string) (bool, error) { return disk.HasState(dir) }

// Bootstrap makes this member the only voter of a new catalog. It must be called
// before Run, and fails when the directory holds a catalog.
func (n *Node) Bootstrap() error {
	if n.life.started.Load() {
		return errors.New("bootstrap the catalog: it is already running")
	}
	has, err := n.store.HasState()
	if err != nil {
		return err
	}
	if has {
		return fmt.Errorf("bootstrap the catalog: %s already holds one: "+
			"start without bootstrapping, or leave that federation first", n.cfg.Dir)
	}
	servers := raft.Configuration{Servers: []raft.Server{voter(n.cfg.ID)}}
	trans := offlineTransport(n.cfg.ID)
	if err := n.store.Bootstrap(n.raftConfig(), trans, servers); err != nil {
		return fmt.Errorf("bootstrap the catalog: %w", err)
	}
	return nil
}

func voter(id catalog.GatewayID) raft.Server {
	return raft.Server{Suffrage: raft.Voter, ID: raft.ServerID(id), Address: raft.ServerAddress(id)}
}

// offlineTransport returns a transport for operations of raft that require one
// but send nothing.
func offlineTransport(id catalog.GatewayID) raft.Transport {
	_, trans := raft.NewInmemTransport(raft.ServerAddress(id))
	return trans
}

// fail ends Run with err, unless an earlier call did.
func (n *Node) fail(err error) {
	select {
	case n.life.failed <- err:
	default:
	}
}

// Close releases the directory of a node that was opened and never run. After
// Run it does nothing: Run closes its node.
func (n *Node) Close() error {
	if n.life.started.Load() {
		return nil
	}
	return n.close()
}

func (n *Node) close() error {
	var err error
	n.life.closing.Do(func() {
		close(n.life.done)
		err = errors.Join(n.closeNetwork(), n.store.Close())
	})
	return err
}

// closeNetwork ends Accept. It may be called twice. A node that Recover opened
// has no network.
func (n *Node) closeNetwork() error {
	if n.cfg.Network == nil {
		return nil
	}
	if err := n.cfg.Network.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		return fmt.Errorf("close network: %w", err)
	}
	return nil
}

// View returns the current local copy of the catalog.
func (n *Node) View() *replica.View { return n.fsm.View() }

func (n *Node) isDatacenter(name catalog.DatacenterName) bool {
	_, ok := n.View().Datacenter(name)
	return ok
}

// Events returns the commands that a query selects, oldest first, and the index after
// which the query continues.
func (n *Node) Events(q consensus.EventQuery) ([]consensus.Event, uint64, error) {
	return n.history.Events(q)
}

// Feed returns the latest changes of the services in View.
func (n *Node) Feed() *feed.Feed { return n.fsm.Feed() }

// Changed returns a channel that is closed at the next change of View. A caller
// that gets the channel before the view misses no change.
func (n *Node) Changed() <-chan struct{} {
	_, changed := n.fsm.Applied()
	return changed
}

// TopologyChanged is Changed for the federation, its datacenters and gateways, and
// their observations.
func (n *Node) TopologyChanged() <-chan struct{} { return n.fsm.TopologyChanged() }

// Seed gives a new member the catalog as the member that admitted it encoded it
// (View.Encode), so that it has the addresses of the others before they send it
// the log. It does nothing when the directory holds newer state, and must be
// called before Run. Until the new member has a configuration, only the gateways that
// voted then may send it the log; none: any gateway of the catalog.
func (n *Node) Seed(view *replica.View, then consensus.Electorate) error {
	if n.life.started.Load() {
		return errors.New("seed the catalog: it is already running")
	}
	n.safeguards.senders.SetAdmitted(then, time.Now())
	return n.fsm.Seed(view)
}

// waitApplied waits until the command with that index is in the local copy.
func (n *Node) waitApplied(ctx context.Context, index uint64) error {
	for {
		have, changed := n.fsm.Applied()
		if have >= index {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("wait for index %d, have %d: %w", index, have, ctx.Err())
		case <-n.life.done:
			return consensus.ErrClosed
		}
	}
}

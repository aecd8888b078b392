package raftnode

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"
	"github.com/meshway/meshway/consensus/raftnode/internal/hclogger"
	"github.com/meshway/meshway/consensus/raftnode/internal/transport"
)

// instance is one running raft. A change of the timers replaces it: most of them
// cannot be changed in place, and with a lease that does not fit the heartbeat
// timeout a leader steps down repeatedly.
type instance struct {
	raft      *raft.Raft
	transport transport.Link
	timers    Timers
	pending   sync.WaitGroup // entries handed to raft whose outcome is awaited
	announcer *transport.Announcer
	noLease   atomic.Int64 // until when the leader has no lease, on the clock of contacts; see transferTo
}

// start creates a raft instance.
func (n *Node) start(incoming <-chan transport.Stream) (*instance, error) {
	timers := *n.timers.Load()
	trans := transport.New(transport.Config{
		ID: n.cfg.ID, Store: n.store, Network: n.cfg.Network, Addresses: n.cfg.Addresses, Incoming: incoming,
		DialTimeout: timers.Lease, // so that an overlay address that does not answer costs less than an election
		RPCTimeout:  timers.RPCTimeout,
		Contacts:    n.contacts,
		Verify:      n.verifySnapshot,
		Refused:     n.refused,
		Log:         hclogger.New(n.log),
	})
	r, err := n.store.StartRaft(n.raftConfig(), n.fsm, trans, n.fail)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start raft: %w", err), trans.Close())
	}
	inst := &instance{raft: r, transport: trans, timers: timers}
	inst.announcer = transport.NewAnnouncer(n.cfg.ID, r, trans, n.contacts, n.fsm.Last)
	trans.Receive(func() transport.Knowledge { return n.knowledge(inst) })
	return inst, nil
}

func (n *Node) raftConfig() *raft.Config {
	cfg := raft.DefaultConfig()
	cfg.LocalID = raft.ServerID(n.cfg.ID)
	n.timers.Load().applyTo(cfg)
	cfg.SnapshotThreshold = n.cfg.SnapshotThreshold
	cfg.TrailingLogs = min(cfg.TrailingLogs, 2*n.cfg.SnapshotThreshold) // a low threshold is there to keep the log short
	cfg.Logger = hclogger.New(n.log)
	cfg.NoLegacyTelemetry = true
	// The caller of Run decides what a removed member does.
	cfg.ShutdownOnRemove = false
	// The state machine was restored by Open, and is ahead of the snapshot.
	cfg.NoSnapshotRestoreOnStart = true
	return cfg
}

// servers returns the members of the raft configuration.
func (i *instance) servers() []raft.Server {
	return i.raft.GetConfiguration().Configuration().Servers
}

// awaitPending waits for the outcome of the entries that were handed to raft. A
// shutdown of raft drops some of their futures. Without quorum, the futures end
// when the leader's lease does.
func (i *instance) awaitPending() {
	done := make(chan struct{})
	go func() {
		i.pending.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(2*i.timers.Lease + i.timers.ElectionTimeout):
	}
}

// stop ends raft. The transport is closed before raft has ended: raft waits for
// its calls to peers, and one to a peer that is cut off would end only at its
// deadline.
func (i *instance) stop() error {
	future := i.raft.Shutdown()
	closeErr := i.transport.Close()
	if err := errors.Join(future.Error(), closeErr); err != nil {
		return fmt.Errorf("stop raft: %w", err)
	}
	return nil
}

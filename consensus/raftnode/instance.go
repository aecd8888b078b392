package raftnode

import (
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"
)

// instance is one running raft. A change of the timers replaces it: most of them
// cannot be changed in place, and with a lease that does not fit the heartbeat
// timeout a leader steps down repeatedly.
type instance struct {
	raft      *raft.Raft
	transport *transport
	timers    Timers
	pending   sync.WaitGroup // entries handed to raft whose outcome is awaited
	inFlight  atomic.Int64   // their number
	committed chan struct{}  // size 1: an entry has an outcome; see announceCommits
}

// start creates a raft instance on a goroutine of its own, which the guard ends
// if the disk fails.
func (n *Node) start(incoming <-chan net.Conn) (*instance, error) {
	timers := *n.timers.Load()
	log := newLogger(n.log)
	trans := newTransport(newStreamLayer(n.cfg, timers, incoming), timers, n.contacts, log)
	cache, err := raft.NewLogCache(logCacheSize, n.store.bolt)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start raft: %w", err), trans.Close())
	}
	disk := newGuard(n.store, cache, n.fail)
	inst := &instance{transport: trans, timers: timers, committed: make(chan struct{}, 1)}
	var wg sync.WaitGroup
	wg.Go(func() {
		defer func() {
			if r := recover(); r != nil {
				err = corrupt(n.cfg.Dir, fmt.Errorf("%v", r))
			}
		}()
		inst.raft, err = raft.NewRaft(n.raftConfig(), n.fsm, disk, disk, n.store.snaps, trans)
	})
	wg.Wait()
	if inst.raft != nil {
		return inst, nil
	}
	if err == nil {
		err = <-n.life.failed
	}
	return nil, errors.Join(fmt.Errorf("start raft: %w", err), trans.Close())
}

func (n *Node) raftConfig() *raft.Config {
	cfg := raft.DefaultConfig()
	cfg.LocalID = raft.ServerID(n.cfg.ID)
	n.timers.Load().applyTo(cfg)
	cfg.SnapshotThreshold = n.cfg.SnapshotThreshold
	cfg.Logger = newLogger(n.log)
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

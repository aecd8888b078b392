package raftnode

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"
)

// markInterval is how often the applied mark is written. After a crash a member
// without quorum may serve a state that is older by as much.
const markInterval = time.Second

// leaderRestartDelay is how much later than a follower a leader restarts raft when
// the timers have changed.
const leaderRestartDelay = time.Second

// instance is one running raft. Changing the timers replaces it: most of them
// cannot be changed in place, and a lease that does not fit the heartbeat makes
// a leader step down again and again.
type instance struct {
	raft      *raft.Raft
	transport *transport
	timers    Timers
	pending   sync.WaitGroup // entries handed to raft whose outcome is awaited
	inFlight  atomic.Int64   // how many they are
	news      chan struct{}  // size 1: the outcome of one is known; see announce
}

// Run takes part in consensus until ctx ends, then hands leadership over, stops
// and closes the node. It returns an error only when the node could not go on:
// an entry that it cannot apply, a disk that fails. Run can be called once.
func (n *Node) Run(ctx context.Context) error {
	if n.started.Swap(true) {
		return errors.New("run consensus: it runs already")
	}
	incoming := make(chan net.Conn)
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	wg.Go(func() { n.accept(ctx, incoming) })
	wg.Go(func() { n.markApplied(ctx) })
	err := n.runInstances(ctx, incoming)
	cancel()
	// Accept ends only when the network is closed, and the mark is written to
	// the store: hence network, goroutines, store, in this order.
	closeErr := n.closeNetwork()
	wg.Wait()
	return errors.Join(err, closeErr, n.close())
}

// runInstances runs raft, again after each change of the timers.
func (n *Node) runInstances(ctx context.Context, incoming <-chan net.Conn) error {
	for {
		inst, err := n.start(incoming)
		if err != nil {
			return err
		}
		again, err := n.attend(ctx, inst)
		if !again {
			return err
		}
		n.log.Info("restarting consensus with other timers", "timers", n.timers.Load().Name)
	}
}

// attend looks after one instance until it has to end.
func (n *Node) attend(ctx context.Context, inst *instance) (again bool, err error) {
	duties, cancel := context.WithCancel(context.WithoutCancel(ctx))
	var wg sync.WaitGroup
	n.instance.Store(inst)
	wg.Go(func() { n.batch(duties, inst) })
	wg.Go(func() { n.announce(duties, inst) })
	wg.Go(func() { n.watchLeadership(duties, inst) })
	again, err = n.awaitEnd(ctx, inst)
	cancel()
	wg.Wait()
	if err == nil {
		inst.settle()
		n.handOver(inst)
	}
	n.instance.Store(nil)
	return again, errors.Join(err, inst.stop())
}

// awaitEnd returns when ctx ends, raft has to be restarted or has failed. The
// leader restarts after the followers, which mostly change their timers at the
// same time: one that restarts just then could not take over.
func (n *Node) awaitEnd(ctx context.Context, inst *instance) (again bool, err error) {
	var due <-chan time.Time
	for {
		select {
		case <-ctx.Done():
			return false, nil
		case err := <-n.failed:
			return false, err
		case <-due:
			return true, nil
		case <-n.retimed:
			if inst.raft.State() != raft.Leader {
				return true, nil
			}
			due = time.After(leaderRestartDelay)
		}
	}
}

// start makes a raft instance on its own goroutine: where the guard finds the
// disk broken it ends the goroutine that asked.
func (n *Node) start(incoming <-chan net.Conn) (*instance, error) {
	timers := *n.timers.Load()
	log := newBridge(n.log)
	trans := newTransport(newStreams(n.conf, timers, incoming), timers, n.contacts, log)
	cache, err := raft.NewLogCache(logCacheSize, n.store.bolt)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start raft: %w", err), trans.Close())
	}
	disk := newGuard(n.store, cache, n.fail)
	inst := &instance{transport: trans, timers: timers, news: make(chan struct{}, 1)}
	var wg sync.WaitGroup
	wg.Go(func() {
		defer func() {
			if r := recover(); r != nil {
				err = corrupt(n.conf.Dir, fmt.Errorf("%v", r))
			}
		}()
		inst.raft, err = raft.NewRaft(n.raftConfig(), n.machine, disk, disk, n.store.snaps, trans)
	})
	wg.Wait()
	if inst.raft != nil {
		return inst, nil
	}
	if err == nil {
		err = <-n.failed
	}
	return nil, errors.Join(fmt.Errorf("start raft: %w", err), trans.Close())
}

func (n *Node) raftConfig() *raft.Config {
	conf := raft.DefaultConfig()
	conf.LocalID = raft.ServerID(n.conf.ID)
	n.timers.Load().applyTo(conf)
	conf.SnapshotThreshold = n.conf.SnapshotThreshold
	conf.Logger = newBridge(n.log)
	conf.NoLegacyTelemetry = true
	// The owner decides what a removed member does; raft must not end by itself.
	conf.ShutdownOnRemove = false
	// The machine was restored when the node was opened, and is ahead of that.
	conf.NoSnapshotRestoreOnStart = true
	return conf
}

// settle waits for the outcome of what was handed to raft. Raft forgets some
// futures when it is shut down in the middle; a leader without quorum ends them
// when its lease does.
func (i *instance) settle() {
	settled := make(chan struct{})
	go func() {
		i.pending.Wait()
		close(settled)
	}()
	select {
	case <-settled:
	case <-time.After(2*i.timers.Lease + i.timers.Election):
	}
}

// stop ends raft. The transport goes first: raft waits for its calls to peers,
// and one that is cut off would answer only at its deadline.
func (i *instance) stop() error {
	future := i.raft.Shutdown()
	closeErr := i.transport.Close()
	if err := errors.Join(future.Error(), closeErr); err != nil {
		return fmt.Errorf("stop raft: %w", err)
	}
	return nil
}

// accept feeds streams to whichever instance runs.
func (n *Node) accept(ctx context.Context, incoming chan<- net.Conn) {
	for ctx.Err() == nil {
		conn, err := n.conf.Network.Accept()
		if err != nil {
			if errors.Is(err, net.ErrClosed) || !pause(ctx, acceptPause) {
				return
			}
			continue
		}
		select {
		case incoming <- conn:
		case <-ctx.Done():
			conn.Close()
		}
	}
}

const acceptPause = 100 * time.Millisecond

// pause waits, and says whether ctx still lives.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// markApplied writes the applied mark soon after it moved, and at the end.
func (n *Node) markApplied(ctx context.Context) {
	var written uint64
	for alive := true; alive; {
		index, changed := n.machine.applied()
		if index != written {
			if err := n.store.setAppliedMark(index); err != nil {
				n.log.Warn("cannot write the applied mark", "index", index, "err", err)
			} else {
				written = index
			}
		}
		select {
		case <-changed:
			alive = pause(ctx, markInterval)
		case <-ctx.Done():
			alive = false
		}
	}
	if index, _ := n.machine.applied(); index != written {
		if err := n.store.setAppliedMark(index); err != nil {
			n.log.Warn("cannot write the applied mark", "index", index, "err", err)
		}
	}
}

// SetTimers changes the timers of a running node. Raft is restarted with them
// beside its state, which is kept: a leader hands over first, and callers see
// at most a pause.
func (n *Node) SetTimers(t Timers) error {
	if err := t.validate(); err != nil {
		return err
	}
	if *n.timers.Load() == t {
		return nil
	}
	n.timers.Store(&t)
	select {
	case n.retimed <- struct{}{}:
	default:
	}
	return nil
}

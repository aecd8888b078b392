package raftnode

import (
	"context"
	"errors"
	"net"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"github.com/meshway/meshway/consensus/raftnode/internal/transport"
)

const (
	// leaderRestartDelay is how much later than a follower the leader restarts
	// raft when the timers have changed.
	leaderRestartDelay = time.Second
	// acceptRetry is the pause after an error of Network.Accept.
	acceptRetry = 100 * time.Millisecond
)

// Run takes part in the replication until ctx ends, then transfers leadership,
// stops and closes the node. It returns an error only when the node could not go
// on: an entry that cannot be applied, or a disk that fails. Run can be called
// once.
func (n *Node) Run(ctx context.Context) error {
	if n.life.started.Swap(true) {
		return errors.New("run raft: it is already running")
	}
	incoming := make(chan transport.Stream)
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	wg.Go(func() { n.accept(ctx, incoming) })
	wg.Go(func() { n.store.KeepAppliedMark(ctx, n.fsm.Applied, n.log) })
	err := n.runInstances(ctx, incoming)
	cancel()
	// Accept ends only when the network is closed, and the mark is written to
	// the store: hence network, goroutines, store, in this order.
	closeErr := n.closeNetwork()
	wg.Wait()
	return errors.Join(err, closeErr, n.close())
}

// runInstances runs raft, and again after each change of the timers.
func (n *Node) runInstances(ctx context.Context, incoming <-chan transport.Stream) error {
	for {
		inst, err := n.start(incoming)
		if err != nil {
			return err
		}
		again, err := n.runInstance(ctx, inst)
		if !again {
			return err
		}
		n.log.Info("restarting raft with other timers", "timers", n.timers.Load().Name)
	}
}

// runInstance runs the goroutines of one instance until it has to end, and stops
// it.
func (n *Node) runInstance(ctx context.Context, inst *instance) (again bool, err error) {
	running, cancel := context.WithCancel(context.WithoutCancel(ctx))
	var wg sync.WaitGroup
	n.instance.Store(inst)
	wg.Go(func() { n.batcher.Run(running, inst) })
	wg.Go(func() { inst.announcer.Run(running) })
	wg.Go(func() { n.watchLeadership(running, inst) })
	wg.Go(func() { n.inquire(running, inst) })
	again, err = n.awaitEnd(ctx, inst)
	cancel()
	wg.Wait()
	if err == nil {
		inst.awaitPending()
		n.handOver(inst)
	}
	n.instance.Store(nil)
	// Two instances must not use one store: one that did not stop is the last.
	err = errors.Join(err, inst.stop())
	return again && err == nil, err
}

// awaitEnd returns when ctx ends, raft has to be restarted or has failed. The
// leader restarts after the followers: all members change their timers at about
// the same time, and a follower that is restarting cannot take over.
func (n *Node) awaitEnd(ctx context.Context, inst *instance) (again bool, err error) {
	var restart <-chan time.Time
	for {
		select {
		case <-ctx.Done():
			return false, nil
		case err := <-n.life.failed:
			return false, err
		case <-restart:
			return true, nil
		case <-n.timersChanged:
			if inst.raft.State() != raft.Leader {
				return true, nil
			}
			restart = time.After(leaderRestartDelay)
		}
	}
}

// accept passes streams to the instance that runs.
func (n *Node) accept(ctx context.Context, incoming chan<- transport.Stream) {
	for ctx.Err() == nil {
		conn, from, err := n.cfg.Network.Accept()
		if err != nil {
			if errors.Is(err, net.ErrClosed) || !sleep(ctx, acceptRetry) {
				return
			}
			continue
		}
		select {
		case incoming <- transport.Stream{Conn: conn, From: from}:
		case <-ctx.Done():
			conn.Close()
		}
	}
}

// sleep waits for d. It reports false when ctx ends first.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// SetTimers changes the timers of a running node. It restarts raft, which keeps
// its state; a leader transfers leadership first. Calls that need the leader wait
// until that is done.
func (n *Node) SetTimers(t Timers) error {
	if err := t.validate(); err != nil {
		return err
	}
	if *n.timers.Load() == t {
		return nil
	}
	n.timers.Store(&t)
	select {
	case n.timersChanged <- struct{}{}:
	default:
	}
	return nil
}

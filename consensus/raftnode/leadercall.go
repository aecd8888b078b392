package raftnode

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/meshway/meshway/consensus"
	"github.com/meshway/meshway/consensus/catalog"
)

const (
	minBackoff = 20 * time.Millisecond
	maxBackoff = time.Second
)

// leaderCall is a call to the leader: local if this member leads, else remote.
type leaderCall struct {
	local  func(ctx context.Context) error
	remote func(ctx context.Context, leader catalog.GatewayID) error
	once   bool // a call whose outcome is unknown is not repeated
}

// callLeader repeats a call until it succeeds, is rejected or ctx ends. The
// leader may change between two attempts.
func (n *Node) callLeader(ctx context.Context, call leaderCall) error {
	uncertain := false
	for backoff := minBackoff; ; backoff = min(2*backoff, maxBackoff) {
		err := n.tryLeader(ctx, call)
		switch {
		case err == nil, errors.Is(err, consensus.ErrRejected): // also of earlier attempts
			return err
		case errors.Is(err, consensus.ErrClosed):
			return markUncertain(err, uncertain)
		case !consensus.HadNoEffect(err) && call.once:
			return markUncertain(err, true)
		case !consensus.HadNoEffect(err):
			uncertain = true
		}
		// Half of the pause is random, so that members that lost the same leader
		// do not all call the next one at the same moment.
		if !sleep(ctx, backoff/2+rand.N(backoff/2)) {
			return exhausted(ctx, err, uncertain)
		}
	}
}

func markUncertain(err error, uncertain bool) error {
	if !uncertain || errors.Is(err, consensus.ErrUncertain) {
		return err
	}
	return fmt.Errorf("%w: %w", consensus.ErrUncertain, err)
}

// exhausted returns the error of a call whose time ended without an answer.
func exhausted(ctx context.Context, last error, uncertain bool) error {
	err := fmt.Errorf("%w: %w", last, context.Cause(ctx))
	if !errors.Is(err, consensus.ErrNoLeader) {
		err = fmt.Errorf("%w: %w", consensus.ErrNoLeader, err)
	}
	return markUncertain(err, uncertain)
}

// tryLeader makes one attempt.
func (n *Node) tryLeader(ctx context.Context, call leaderCall) error {
	select {
	case <-n.life.done:
		return consensus.ErrClosed
	default:
	}
	inst := n.instance.Load()
	if inst == nil {
		return consensus.ErrNoLeader
	}
	ctx, cancel := context.WithTimeout(ctx, inst.timers.callTimeout())
	defer cancel()
	switch leader := inst.leader(); leader {
	case "":
		return consensus.ErrNoLeader
	case n.cfg.ID:
		return call.local(ctx)
	default:
		return call.remote(ctx, leader)
	}
}

// leader returns the leader; empty: unknown.
func (i *instance) leader() catalog.GatewayID {
	_, id := i.raft.LeaderWithID()
	return catalog.GatewayID(id)
}

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
	backoffFirst = 20 * time.Millisecond
	backoffLast  = time.Second
)

// attempt is one try of a call: here, when this member leads, or at the leader.
type attempt struct {
	here  func(ctx context.Context) error
	there func(ctx context.Context, leader catalog.GatewayID) error
	// once: an attempt whose outcome is unknown is not repeated.
	once bool
}

// withLeader makes attempts until one succeeds, one is rejected or ctx ends.
// Leadership may move between any two of them.
func (n *Node) withLeader(ctx context.Context, a attempt) error {
	uncertain := false
	for backoff := backoffFirst; ; backoff = min(2*backoff, backoffLast) {
		err := n.try(ctx, a)
		if err == nil || errors.Is(err, consensus.ErrRejected) || errors.Is(err, consensus.ErrClosed) {
			return err
		}
		if !harmless(err) {
			uncertain = true
			if a.once {
				return uncertainly(err)
			}
		}
		// Half of the time is random: members that lost the same leader should
		// not all ask the next one at the same moment.
		if !pause(ctx, backoff/2+rand.N(backoff/2)) {
			return exhausted(ctx, err, uncertain)
		}
	}
}

func uncertainly(err error) error {
	if errors.Is(err, consensus.ErrUncertain) {
		return err
	}
	return fmt.Errorf("%w: %w", consensus.ErrUncertain, err)
}

// exhausted describes why the time ended without an answer.
func exhausted(ctx context.Context, last error, uncertain bool) error {
	err := fmt.Errorf("%w: %w", last, context.Cause(ctx))
	if !errors.Is(err, consensus.ErrNoLeader) {
		err = fmt.Errorf("%w: %w", consensus.ErrNoLeader, err)
	}
	if uncertain {
		err = uncertainly(err)
	}
	return err
}

func (n *Node) try(ctx context.Context, a attempt) error {
	select {
	case <-n.done:
		return consensus.ErrClosed
	default:
	}
	inst := n.instance.Load()
	if inst == nil {
		return consensus.ErrNoLeader
	}
	_, leader := inst.raft.LeaderWithID()
	ctx, cancel := context.WithTimeout(ctx, inst.timers.attempt())
	defer cancel()
	switch catalog.GatewayID(leader) {
	case "":
		return consensus.ErrNoLeader
	case n.conf.ID:
		return a.here(ctx)
	default:
		return a.there(ctx, catalog.GatewayID(leader))
	}
}

package raftnode

import (
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
)

// transport is raft's network transport with three changes.
//
// It has no heartbeat fast path: raft handles heartbeats that take it beside its
// main loop, and a leader that steps down that way can append entries of its old
// term after a partition heals, so that logs diverge (hashicorp/raft#695).
// raft.Transport allows ignoring the handler; heartbeats then queue behind disk
// writes, for which the timers leave room.
//
// It does not pipeline: after a follower has rejected entries, raft's pipeline
// can deadlock, while heartbeats continue and hide that the follower receives
// nothing (hashicorp/raft#612). One message at a time carries up to
// MaxAppendEntries entries, each of which is a batch.
//
// It records the answers of peers, from which the leader judges their health.
type transport struct {
	*raft.NetworkTransport
	contacts *contacts
}

var (
	_ raft.Transport   = (*transport)(nil)
	_ raft.WithPreVote = (*transport)(nil)
	_ raft.WithClose   = (*transport)(nil)
)

func newTransport(stream raft.StreamLayer, timers Timers, contacts *contacts, log hclog.Logger) *transport {
	return &transport{
		NetworkTransport: raft.NewNetworkTransportWithConfig(&raft.NetworkTransportConfig{
			Stream: stream, MaxPool: 3, Timeout: timers.RPCTimeout, Logger: log,
			MaxRPCsInFlight: 1, // no pipeline
		}),
		contacts: contacts,
	}
}

// SetHeartbeatHandler implements raft.Transport. It ignores the handler: see
// transport.
func (t *transport) SetHeartbeatHandler(func(raft.RPC)) {}

// AppendEntries implements raft.Transport. It records the answer. There are
// several in each heartbeat timeout, because heartbeats are such messages too.
func (t *transport) AppendEntries(id raft.ServerID, target raft.ServerAddress,
	args *raft.AppendEntriesRequest, resp *raft.AppendEntriesResponse,
) error {
	round := t.contacts.round()
	err := t.NetworkTransport.AppendEntries(id, target, args, resp)
	if err == nil && resp.Success && resp.Term == args.Term {
		t.contacts.record(id, contact{term: resp.Term, lastIndex: resp.LastLog, round: round, at: time.Now()})
	}
	return err
}

// Close implements raft.WithClose. It closes the streams too: NetworkTransport
// closes only its listener, and leaves the goroutines of accepted connections
// running.
func (t *transport) Close() error {
	err := t.NetworkTransport.Close()
	t.CloseStreams()
	return err
}

package transport

import (
	"net"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"

	"github.com/meshway/meshway/consensus"
	"github.com/meshway/meshway/consensus/catalog"
)

// Transport is raft's network transport with three changes.
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
type Transport struct {
	*raft.NetworkTransport
	contacts *Contacts
}

var (
	_ raft.Transport   = (*Transport)(nil)
	_ raft.WithPreVote = (*Transport)(nil)
	_ raft.WithClose   = (*Transport)(nil)
)

// Config configures a Transport. All fields are required.
type Config struct {
	ID      catalog.GatewayID // of this gateway
	Network consensus.Network
	// Addresses returns the addresses at which a gateway may be reached, best first.
	Addresses   func(catalog.GatewayID) []string
	Incoming    <-chan net.Conn // accepted streams; outlives the transport
	DialTimeout time.Duration   // of one address
	RPCTimeout  time.Duration   // of one raft call; a snapshot gets more, by its size
	Contacts    *Contacts       // outlives the transport
	Log         hclog.Logger
}

// New creates the transport of one raft instance.
func New(cfg Config) *Transport { return transportOver(newStreamLayer(cfg), cfg) }

func transportOver(stream raft.StreamLayer, cfg Config) *Transport {
	return &Transport{
		NetworkTransport: raft.NewNetworkTransportWithConfig(&raft.NetworkTransportConfig{
			Stream: stream, MaxPool: 3, Timeout: cfg.RPCTimeout, Logger: cfg.Log,
			MaxRPCsInFlight: 1, // no pipeline
		}),
		contacts: cfg.Contacts,
	}
}

// SetHeartbeatHandler implements raft.Transport. It ignores the handler: see
// Transport.
func (t *Transport) SetHeartbeatHandler(func(raft.RPC)) {}

// AppendEntries implements raft.Transport. It records the answer. There are
// several in each heartbeat timeout, because heartbeats are such messages too.
func (t *Transport) AppendEntries(id raft.ServerID, target raft.ServerAddress,
	args *raft.AppendEntriesRequest, resp *raft.AppendEntriesResponse,
) error {
	contact := t.contacts.sending()
	err := t.NetworkTransport.AppendEntries(id, target, args, resp)
	if err == nil && resp.Success && resp.Term == args.Term {
		contact.Term, contact.LastIndex, contact.At = resp.Term, resp.LastLog, time.Now()
		t.contacts.record(id, contact)
	}
	return err
}

// Close implements raft.WithClose. It closes the streams too: NetworkTransport
// closes only its listener, and leaves the goroutines of accepted connections
// running.
func (t *Transport) Close() error {
	err := t.NetworkTransport.Close()
	t.CloseStreams()
	return err
}

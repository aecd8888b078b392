package transport

import (
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"

	"github.com/meshway/meshway/consensus"
	"github.com/meshway/meshway/consensus/catalog"
)

// Transport is raft's network transport with seven changes.
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
//
// It limits what followers learn of the commit index, and what raft can confirm to another
// leader, to the entries that are on the disk of this member.
//
// It checks the sender of a message, and what raft would do with it: see Knowledge. Raft
// trusts every message that arrives.
//
// It bounds what is sent again to a member without a vote: see resent.
//
// It ends a stream on which a message is longer than its sender may send: see boundedStream. It
// reads one large message and one snapshot at a time: see gate.
type Transport struct {
	*raft.NetworkTransport
	layer    *streamLayer
	inbound  *inbound
	contacts *Contacts
	resent   resent
	ready    chan struct{} // closed by Receive
	closing  sync.Once
}

var (
	_ raft.Transport   = (*Transport)(nil)
	_ raft.WithPreVote = (*Transport)(nil)
	_ raft.WithClose   = (*Transport)(nil)
)

// Store is the log of this member.
type Store interface {
	// FirstIndex returns the index of its first entry; 0: it is empty.
	FirstIndex() uint64
	// Term returns the term of an entry; false: the log does not have it.
	Term(index uint64) (uint64, bool)
	// Replayed returns the index of the last entry that was applied before raft began.
	Replayed() uint64
	// Written returns the highest index, at most commit, up to which all entries are on
	// the disk: no other member learns that a later entry is committed.
	Written(commit uint64) uint64
	// Flush waits until all entries are on the disk.
	Flush() error
}

// Config configures a Transport. All fields are required.
type Config struct {
	ID      catalog.GatewayID // of this gateway
	Network consensus.Network
	// Addresses returns the addresses at which a gateway may be reached, best first.
	Addresses   func(catalog.GatewayID) []string
	Incoming    <-chan Stream // accepted streams; outlives the transport
	DialTimeout time.Duration // of one address
	RPCTimeout  time.Duration // of one raft call; a snapshot gets more, by its size
	Contacts    *Contacts     // outlives the transport
	// Verify returns why a snapshot of another member must not replace anything.
	Verify func(snapshot []byte) error
	Store  Store
	// Refused is called for each message and answer that is not passed to raft.
	Refused func(from catalog.GatewayID, why *Refusal)
	Log     hclog.Logger
}

// New creates the transport of one raft instance. It calls others at once; it passes
// their messages to raft after Receive.
func New(cfg Config) *Transport {
	layer := newStreamLayer(cfg)
	return &Transport{
		NetworkTransport: raft.NewNetworkTransportWithConfig(&raft.NetworkTransportConfig{
			Stream: layer, MaxPool: 3, Timeout: cfg.RPCTimeout, Logger: cfg.Log,
			MaxRPCsInFlight: 1, // no pipeline
		}),
		layer:    layer,
		inbound:  newInbound(cfg),
		contacts: cfg.Contacts,
		ready:    make(chan struct{}),
	}
}

// Receive passes the messages of other members to raft from now on. It is called
// once, when raft has started and has its configuration.
func (t *Transport) Receive(knowledge func() Knowledge) {
	t.inbound.knowledge = knowledge
	close(t.ready)
	t.inbound.running.Go(func() { t.inbound.run(t.layer) })
}

// Consumer implements raft.Transport.
func (t *Transport) Consumer() <-chan raft.RPC { return t.inbound.consumer }

// SetHeartbeatHandler implements raft.Transport. It ignores the handler: see
// Transport.
func (t *Transport) SetHeartbeatHandler(func(raft.RPC)) {}

// AppendEntries implements raft.Transport. It records the answer. There are
// several in each heartbeat timeout, because heartbeats are such messages too.
func (t *Transport) AppendEntries(id raft.ServerID, target raft.ServerAddress,
	args *raft.AppendEntriesRequest, resp *raft.AppendEntriesResponse,
) error {
	t.inbound.believed.led(args.Term, time.Now())
	if err := t.takeResent(id, args.Entries, 0); err != nil {
		return err
	}
	contact := t.contacts.sending()
	args.LeaderCommitIndex = t.inbound.cfg.Store.Written(args.LeaderCommitIndex)
	err := t.NetworkTransport.AppendEntries(id, target, args, resp)
	if err == nil {
		err = t.checkHeartbeat(id, args, resp)
	}
	if err == nil {
		err = t.checkAnswer(id, "AppendEntries", args.Term, resp.Term)
	}
	if err == nil && resp.Success && resp.Term == args.Term {
		contact.Term, contact.LastIndex, contact.Committed, contact.At = resp.Term, resp.LastLog, args.LeaderCommitIndex, time.Now()
		if n := len(args.Entries); n > 0 { // LastLog is the index before them
			contact.LastIndex = max(contact.LastIndex, args.Entries[n-1].Index)
		}
		t.contacts.record(id, contact)
	}
	return err
}

// takeResent returns an error if a message has to wait because its receiver, which has no
// vote, was sent too much of it before.
func (t *Transport) takeResent(id raft.ServerID, entries []*raft.Log, snapshot int64) error {
	<-t.ready // raft calls others only after it has started
	to := catalog.GatewayID(id)
	err := t.resent.take(to, entries, snapshot, time.Now())
	if err != nil && t.inbound.knowledge().votes(to) {
		return nil
	}
	return err
}

// Close implements raft.WithClose. It closes the streams too: NetworkTransport
// closes only its listener, and leaves the goroutines of accepted connections
// running.
func (t *Transport) Close() error {
	t.closing.Do(func() { close(t.inbound.done) })
	err := t.NetworkTransport.Close()
	t.CloseStreams()
	t.inbound.running.Wait()
	return err
}

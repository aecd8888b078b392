package transport

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"github.com/meshway/meshway/consensus"
	"github.com/meshway/meshway/consensus/catalog"
)

// maxSnapshot bounds the snapshot that this member reads before it is verified.
const maxSnapshot = 1 << 30

// Stream is an accepted stream and the gateway that has proved to be its other end.
type Stream struct {
	net.Conn
	From catalog.GatewayID
}

// inbound passes the messages of other members to raft, after it has checked them.
// Raft's transport does not return the stream of a message. So each stream has a
// transport of its own, whose messages are all of one sender.
type inbound struct {
	cfg       Config
	most      int64 // bytes of a message of a voter
	knowledge func() Knowledge
	consumer  chan raft.RPC
	done      chan struct{}
	running   sync.WaitGroup
	believed  believed
	large     *gate // for messages of more than smallMessage
	snapshots *gate // for their content, which is read before it is verified
}

func newInbound(cfg Config) *inbound {
	return &inbound{
		cfg: cfg, most: largeMessage, consumer: make(chan raft.RPC), done: make(chan struct{}),
		large: newGate(), snapshots: newGate(),
	}
}

// run accepts streams until done is closed.
func (in *inbound) run(layer *streamLayer) {
	for {
		select {
		case s := <-in.cfg.Incoming:
			conn, err := layer.track(s.Conn)
			if err != nil {
				continue // the layer is closed, and so is the stream
			}
			in.running.Go(func() { in.serve(conn, s.From) })
		case <-in.done:
			return
		}
	}
}

// serve passes the messages of one stream until it ends.
func (in *inbound) serve(conn net.Conn, from catalog.GatewayID) {
	bounded := &boundedStream{Conn: conn, most: in.most}
	only := &onlyStream{conn: bounded, accepted: make(chan struct{}, 1), closed: make(chan struct{})}
	only.accepted <- struct{}{}
	p := &passage{from: from, end: func() { _ = only.Close() }}
	bounded.exceeded = func() bool { return in.exceeded(p) }
	messages := raft.NewNetworkTransportWithConfig(&raft.NetworkTransportConfig{
		Stream: only, Timeout: in.cfg.RPCTimeout, Logger: in.cfg.Log, MaxRPCsInFlight: 1,
	})
	defer messages.Close()
	defer in.leave(p)
	defer p.ended.Store(true)
	for {
		select {
		case rpc := <-messages.Consumer():
			bounded.begin(contentSize(rpc.Command))
			if !in.pass(p, rpc, only.closed) {
				return
			}
			in.leave(p) // raft has the message
		case <-only.closed:
			return
		case <-in.done:
			return
		}
	}
}

// contentSize returns how many bytes follow a message: those of the snapshot, up to
// maxSnapshot, see verify.
func contentSize(command any) int64 {
	if m, ok := command.(*raft.InstallSnapshotRequest); ok {
		return min(max(m.Size, 0), maxSnapshot)
	}
	return 0
}

// leave ends that a stream sends what takes much memory.
func (in *inbound) leave(p *passage) {
	in.large.leave(p)
	in.snapshots.leave(p)
}

// exceeded reports whether a stream may not send more of a message than a small one has: its
// gateway may not send messages with entries, or another stream sends a large message.
func (in *inbound) exceeded(p *passage) bool {
	k := in.knowledge()
	if k.votes(p.from) || p.from == k.Leader {
		return !in.large.enter(p, k.Leader)
	}
	in.cfg.Refused(p.from, refuse(consensus.CodeNotAVoter,
		"gateway %s sent a message of more than %d bytes and is not a voter in the configuration of this member", p.from, smallMessage))
	return true
}

// pass passes a message to raft, unless the stream ends before. It reports false if the
// stream has to end.
func (in *inbound) pass(p *passage, rpc raft.RPC, closed <-chan struct{}) bool {
	snapshot, isSnapshot := rpc.Command.(*raft.InstallSnapshotRequest)
	knowledge := in.knowledge()
	refusal := knowledge.check(p.from, rpc.Command)
	if refusal == nil {
		refusal = in.checkApplied(p.from, rpc.Command, knowledge)
	}
	if refusal == nil && isSnapshot && !in.snapshots.enter(p, knowledge.Leader) {
		refusal = refuse("", "the snapshot of gateway %s is refused while that of another one is read", p.from)
	}
	if refusal == nil && isSnapshot {
		rpc.Reader, refusal = in.verify(p.from, snapshot.Size, rpc.Reader)
	}
	if refusal == nil && isSnapshot && in.outdated(snapshot) {
		header := raft.RPCHeader{ProtocolVersion: raft.ProtocolVersionMax, ID: []byte(in.cfg.ID), Addr: []byte(in.cfg.ID)}
		rpc.Respond(&raft.InstallSnapshotResponse{RPCHeader: header, Term: snapshot.Term, Success: true}, nil)
		return true
	}
	if refusal != nil {
		if refusal.Code != "" {
			in.cfg.Refused(p.from, refusal)
		}
		rpc.Respond(nil, refusal)
		return !isSnapshot // its content would be read as messages
	}
	if message, isAppend := rpc.Command.(*raft.AppendEntriesRequest); isAppend {
		in.believed.led(message.Term, time.Now())
		skipApplied(message, knowledge.Applied, in.cfg.Store.FirstIndex())
		// The entries that the other leader has from this member were stored before.
		if err := in.cfg.Store.Flush(); err != nil {
			rpc.Respond(nil, err)
			return true
		}
	}
	if isSnapshot {
		rpc.Reader = currentReader{rpc.Reader, func() bool { return !in.outdated(snapshot) }}
	}
	select {
	case in.consumer <- rpc:
		return true
	case <-closed:
		rpc.Respond(nil, net.ErrClosed)
		return false
	case <-in.done:
		return false
	}
}

// checkApplied refuses entries in the place of others that raft has applied. A leader has all
// that was applied (Raft, figure 3, leader completeness); raft would delete its own entries,
// and what they changed would stay in the catalog of this member only. The store refuses what
// is applied only after this (disk.raftStore).
//
// Raft answers a leader of an earlier term, which may not know that it leads no longer, with
// its own one.
func (in *inbound) checkApplied(from catalog.GatewayID, command any, k Knowledge) *Refusal {
	m, isAppend := command.(*raft.AppendEntriesRequest)
	if !isAppend || m.Term < k.Own {
		return nil
	}
	applied := max(k.Applied, in.cfg.Store.Replayed())
	for _, entry := range m.Entries {
		if entry.Index > applied {
			break // so do the later ones: see checkEntry
		}
		if term, ok := in.cfg.Store.Term(entry.Index); ok && term != entry.Term {
			return refuse(consensus.CodeMalformed, "AppendEntries of gateway %s has entry %d with term %d, this member has applied it with term %d",
				from, entry.Index, entry.Term, term)
		}
	}
	return nil
}

// skipApplied removes from a message what raft has applied, if the log, whose first entry
// is first, no longer has the entry before it. A leader has all that was applied (Raft, figure 3, leader
// completeness), so that the check of that entry is not needed; raft omits it at index 0.
// Raft looks for the entry in the log only, refuses the message, and gets a snapshot that
// it has, again and again, if the entry after its own snapshot was never committed.
func skipApplied(m *raft.AppendEntriesRequest, applied, first uint64) {
	if m.PrevLogEntry == 0 || m.PrevLogEntry > applied || (first > 0 && m.PrevLogEntry >= first) {
		return
	}
	last := m.PrevLogEntry
	if n := len(m.Entries); n > 0 {
		last = m.Entries[n-1].Index
	}
	m.LeaderCommitIndex = min(m.LeaderCommitIndex, last) // raft would include what follows in its own log
	m.Entries = slices.DeleteFunc(m.Entries, func(e *raft.Log) bool { return e.Index <= applied })
	m.PrevLogEntry, m.PrevLogTerm = 0, 0
}

// outdated reports whether raft has applied all entries in a snapshot already. A leader
// sends it again if the answer was lost, and the loop that ends for a member that was
// removed does so beside the one for the member that was added again. Raft would delete
// its whole log for it, with entries after the snapshot that it has acknowledged, and
// panic when these are committed. So the leader gets the answer that the member has it.
func (in *inbound) outdated(snapshot *raft.InstallSnapshotRequest) bool {
	k := in.knowledge()
	return k.Applied > 0 && snapshot.Term >= k.Term && snapshot.LastLogIndex <= k.Applied
}

// errOutdated is the answer to a snapshot that became outdated after it was passed.
var errOutdated = errors.New("a later snapshot was installed")

// currentReader is the content of a snapshot. Raft reads it in the goroutine that applies
// entries, and keeps its log if that fails.
type currentReader struct {
	io.Reader

	current func() bool
}

func (r currentReader) Read(data []byte) (int, error) {
	if !r.current() {
		return 0, errOutdated
	}
	return r.Reader.Read(data)
}

// verify reads a snapshot and verifies it before raft stores it: raft would replace
// the former one first.
func (in *inbound) verify(from catalog.GatewayID, size int64, content io.Reader) (io.Reader, *Refusal) {
	if size < 0 || size > maxSnapshot {
		return nil, refuse(consensus.CodeMalformed, "the snapshot of gateway %s has %d bytes", from, size)
	}
	var data bytes.Buffer
	if _, err := io.CopyN(&data, content, size); err != nil { // the stream has ended
		return nil, refuse("", "read the snapshot of gateway %s: %s", from, err)
	}
	if err := in.cfg.Verify(data.Bytes()); err != nil {
		return nil, refuse(consensus.CodeSnapshotForged, "the snapshot of gateway %s is refused: %s", from, err)
	}
	return &data, nil
}

// onlyStream is a raft.StreamLayer that accepts one stream.
type onlyStream struct {
	conn     net.Conn
	accepted chan struct{}
	closed   chan struct{}
	once     sync.Once // closes closed
}

func (o *onlyStream) Accept() (net.Conn, error) {
	select {
	case <-o.accepted:
		return closingStream{o.conn, o}, nil
	case <-o.closed:
		return nil, net.ErrClosed
	}
}

func (o *onlyStream) Close() error {
	o.once.Do(func() {
		close(o.closed)
		o.conn.Close()
	})
	return nil
}

func (o *onlyStream) Addr() net.Addr { return o.conn.LocalAddr() }

func (o *onlyStream) Dial(to raft.ServerAddress, _ time.Duration) (net.Conn, error) {
	return nil, fmt.Errorf("dial %s: a stream that was accepted does not dial", to)
}

// closingStream ends its layer when it is closed.
type closingStream struct {
	net.Conn
	layer *onlyStream
}

func (c closingStream) Close() error { return c.layer.Close() }

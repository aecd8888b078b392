// Package raftnodetest sends what only a hostile member sends, to test that it is refused.
package raftnodetest

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"

	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/replica"
)

// Forger sends messages of raft over streams of its own, without raft's rules.
type Forger struct {
	Name      catalog.GatewayID // in its messages
	transport *raft.NetworkTransport
}

// NewForger returns a forger whose streams dial opens, with the identity that it proves.
// A message is given up after timeout.
func NewForger(name catalog.GatewayID, timeout time.Duration, dial func(ctx context.Context, to catalog.GatewayID) (net.Conn, error)) *Forger {
	return &Forger{Name: name, transport: raft.NewNetworkTransportWithConfig(&raft.NetworkTransportConfig{
		Stream: forgerStreams{dial, make(chan struct{})}, Timeout: timeout, Logger: hclog.NewNullLogger(), MaxRPCsInFlight: 1,
	})}
}

// Close closes the streams.
func (f *Forger) Close() error {
	f.transport.CloseStreams()
	return f.transport.Close()
}

// Forgery sends one message and returns the error with which it was refused.
type Forgery func(to catalog.GatewayID) error

// Forgeries returns the messages by which one member could take over or stop the
// catalog, by their kind.
func (f *Forger) Forgeries(term uint64) map[string]Forgery {
	name := []byte(f.Name)
	header := raft.RPCHeader{ProtocolVersion: raft.ProtocolVersionMax, ID: name, Addr: name}
	const far = 1 << 40
	return map[string]Forgery{
		"AppendEntries": func(to catalog.GatewayID) error {
			request := &raft.AppendEntriesRequest{RPCHeader: header, Leader: name, Term: term} //nolint:staticcheck // as raft sends it
			return f.transport.AppendEntries(raft.ServerID(to), raft.ServerAddress(to), request, new(raft.AppendEntriesResponse))
		},
		"RequestVote": func(to catalog.GatewayID) error {
			request := &raft.RequestVoteRequest{RPCHeader: header, Term: term, LastLogIndex: far, LastLogTerm: term, LeadershipTransfer: true}
			return f.transport.RequestVote(raft.ServerID(to), raft.ServerAddress(to), request, new(raft.RequestVoteResponse))
		},
		"RequestPreVote": func(to catalog.GatewayID) error {
			request := &raft.RequestPreVoteRequest{RPCHeader: header, Term: term, LastLogIndex: far, LastLogTerm: term}
			return f.transport.RequestPreVote(raft.ServerID(to), raft.ServerAddress(to), request, new(raft.RequestPreVoteResponse))
		},
		"TimeoutNow": func(to catalog.GatewayID) error {
			return f.transport.TimeoutNow(raft.ServerID(to), raft.ServerAddress(to), &raft.TimeoutNowRequest{RPCHeader: header}, new(raft.TimeoutNowResponse))
		},
		"InstallSnapshot": func(to catalog.GatewayID) error {
			var empty bytes.Buffer
			if err := replica.New().View().Encode(&empty); err != nil {
				return err
			}
			alone := raft.Configuration{Servers: []raft.Server{{ID: raft.ServerID(f.Name), Address: raft.ServerAddress(f.Name)}}}
			request := &raft.InstallSnapshotRequest{
				RPCHeader: header, SnapshotVersion: raft.SnapshotVersionMax, Term: term, Leader: name,
				LastLogIndex: far, LastLogTerm: term, Configuration: raft.EncodeConfiguration(alone), ConfigurationIndex: far,
				Size: int64(empty.Len()),
			}
			return f.transport.InstallSnapshot(raft.ServerID(to), raft.ServerAddress(to), request, new(raft.InstallSnapshotResponse), &empty)
		},
	}
}

// Entry sends an entry that follows the entry index of term previous, as a leader of term
// does after it has committed the entry.
func (f *Forger) Entry(to catalog.GatewayID, term, index, previous uint64, kind raft.LogType, data []byte) error {
	name := []byte(f.Name)
	request := &raft.AppendEntriesRequest{
		RPCHeader: raft.RPCHeader{ProtocolVersion: raft.ProtocolVersionMax, ID: name, Addr: name}, Leader: name, //nolint:staticcheck // as raft sends it
		Term: term, PrevLogEntry: index, PrevLogTerm: previous, LeaderCommitIndex: index + 1,
		Entries: []*raft.Log{{Index: index + 1, Term: term, Type: kind, Data: data}},
	}
	var response raft.AppendEntriesResponse
	err := f.transport.AppendEntries(raft.ServerID(to), raft.ServerAddress(to), request, &response)
	if err == nil && !response.Success {
		return fmt.Errorf("raft of %s refused the entry", to)
	}
	return err
}

// Snapshot sends a snapshot that ends with the entry index, as a leader does.
func (f *Forger) Snapshot(to catalog.GatewayID, term, index uint64, servers raft.Configuration, view *replica.View) error {
	name := []byte(f.Name)
	var content bytes.Buffer
	if err := view.Encode(&content); err != nil {
		return err
	}
	request := &raft.InstallSnapshotRequest{
		RPCHeader:       raft.RPCHeader{ProtocolVersion: raft.ProtocolVersionMax, ID: name, Addr: name},
		SnapshotVersion: raft.SnapshotVersionMax, Term: term, Leader: name,
		LastLogIndex: index, LastLogTerm: term, Configuration: raft.EncodeConfiguration(servers), ConfigurationIndex: 1,
		Size: int64(content.Len()),
	}
	return f.transport.InstallSnapshot(raft.ServerID(to), raft.ServerAddress(to), request, new(raft.InstallSnapshotResponse), &content)
}

// forgerStreams is a raft.StreamLayer that only dials.
type forgerStreams struct {
	dial func(ctx context.Context, to catalog.GatewayID) (net.Conn, error)
	done chan struct{}
}

func (s forgerStreams) Dial(to raft.ServerAddress, _ time.Duration) (net.Conn, error) {
	return s.dial(context.Background(), catalog.GatewayID(to))
}

func (s forgerStreams) Accept() (net.Conn, error) {
	<-s.done
	return nil, net.ErrClosed
}

func (s forgerStreams) Close() error {
	close(s.done)
	return nil
}

func (s forgerStreams) Addr() net.Addr { return &net.UnixAddr{Name: "forger"} }

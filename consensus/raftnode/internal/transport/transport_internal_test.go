package transport

import (
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// listener is a raft.StreamLayer on loopback.
type listener struct{ net.Listener }

func (listener) Dial(address raft.ServerAddress, timeout time.Duration) (net.Conn, error) {
	return net.DialTimeout("tcp", string(address), timeout)
}

func newListener(t *testing.T) listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	return listener{l}
}

func newTestTransport(stream raft.StreamLayer) raft.Transport {
	return transportOver(stream, Config{RPCTimeout: 5 * time.Second, Contacts: NewContacts(func() time.Duration { return 0 }), Log: hclog.NewNullLogger()})
}

// When raft handles heartbeats beside its main loop, logs can diverge after a
// partition (hashicorp/raft#695).
func TestHeartbeatsTakeNoFastPath(t *testing.T) {
	trans := newTestTransport(newListener(t))
	client := newTestTransport(newListener(t))
	for _, c := range []raft.Transport{trans, client} {
		defer func() { require.NoError(t, c.(raft.WithClose).Close()) }()
	}
	var fast atomic.Int32
	trans.SetHeartbeatHandler(func(rpc raft.RPC) {
		fast.Add(1)
		rpc.Respond(&raft.AppendEntriesResponse{}, nil)
	})
	served := make(chan raft.RPC, 1)
	go func() {
		select {
		case rpc := <-trans.Consumer():
			rpc.Respond(&raft.AppendEntriesResponse{Term: 7, Success: true}, nil)
			served <- rpc
		case <-time.After(5 * time.Second):
		}
		close(served)
	}()
	heartbeat := &raft.AppendEntriesRequest{
		RPCHeader: raft.RPCHeader{ProtocolVersion: 3, ID: []byte("a"), Addr: []byte("a")}, Term: 7,
	}
	var answer raft.AppendEntriesResponse
	require.NoError(t, client.AppendEntries("b", trans.LocalAddr(), heartbeat, &answer))
	assert.True(t, answer.Success)
	assert.Zero(t, fast.Load(), "a heartbeat was answered beside the main loop")
	rpc, ok := <-served
	require.True(t, ok, "the heartbeat did not reach the main loop")
	assert.IsType(t, heartbeat, rpc.Command)
}

func TestTheTransportSupportsPreVote(t *testing.T) {
	trans := newTestTransport(newListener(t))
	_, ok := trans.(raft.WithPreVote)
	assert.True(t, ok)
	require.NoError(t, trans.(raft.WithClose).Close())
}

// A follower that rejects entries while the leader sends can block raft's pipeline
// permanently (hashicorp/raft#612).
func TestReplicationIsNotPipelined(t *testing.T) {
	trans := newTestTransport(newListener(t))
	_, err := trans.AppendEntriesPipeline("b", trans.LocalAddr())
	require.ErrorIs(t, err, raft.ErrPipelineReplicationNotSupported)
	require.NoError(t, trans.(raft.WithClose).Close())
}

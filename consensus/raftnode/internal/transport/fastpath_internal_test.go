package transport

import (
	"io"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/raft"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestRaftsOwnTransportHandlesHeartbeatsBesideItsMainLoop fails once raft's transport keeps what
// TestHeartbeatsTakeNoFastPath requires of this one (hashicorp/raft#695).
func TestRaftsOwnTransportHandlesHeartbeatsBesideItsMainLoop(t *testing.T) {
	var transports []*raft.NetworkTransport
	for range 2 {
		trans, err := raft.NewTCPTransport("127.0.0.1:0", nil, 1, time.Minute, io.Discard)
		require.NoError(t, err)
		t.Cleanup(func() { assert.NoError(t, trans.Close()) })
		transports = append(transports, trans)
	}
	client, server := transports[0], transports[1]
	var fast atomic.Int32
	server.SetHeartbeatHandler(func(rpc raft.RPC) {
		fast.Add(1)
		rpc.Respond(&raft.AppendEntriesResponse{Term: 7, Success: true}, nil)
	})
	heartbeat := &raft.AppendEntriesRequest{RPCHeader: headerOf("a/1"), Term: 7}
	require.NoError(t, client.AppendEntries("b/1", server.LocalAddr(), heartbeat, new(raft.AppendEntriesResponse)))
	assert.EqualValues(t, 1, fast.Load())
	assert.Empty(t, server.Consumer(), "the main loop does not receive it")
}

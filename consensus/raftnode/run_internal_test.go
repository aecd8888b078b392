package raftnode

import (
	"errors"
	"net"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/consensus"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/raftnode/internal/transport"
)

// noNetwork is a Network of a node that is alone.
type noNetwork struct{ consensus.Network }

func (noNetwork) Accept() (net.Conn, catalog.GatewayID, error) { return nil, "", net.ErrClosed }
func (noNetwork) Close() error                                 { return nil }

// brokenTransport fails to close, after it has closed.
type brokenTransport struct{ transport.Link }

func (b brokenTransport) Close() error {
	return errors.Join(b.Link.Close(), errors.New("close failed"))
}

func TestRaftIsNotStartedAgainBesideAnInstanceThatDidNotStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, err := Open(Config{ID: "a/1", Dir: t.TempDir(), Network: noNetwork{}, Remote: struct{ consensus.Remote }{}})
		require.NoError(t, err)
		defer func() { assert.NoError(t, n.Close()) }()
		require.NoError(t, n.Bootstrap())
		inst, err := n.start(make(chan transport.Stream))
		require.NoError(t, err)
		inst.transport = brokenTransport{inst.transport}
		require.True(t, <-inst.raft.LeaderCh(), "the only member leads")
		require.NoError(t, n.SetTimers(WAN()))
		again, err := n.runInstance(t.Context(), inst)
		require.ErrorContains(t, err, "close failed")
		assert.False(t, again, "the error is lost when raft starts again")
	})
}

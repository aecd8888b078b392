package raftnode_test

import (
	"bytes"
	"context"
	"io"
	"math"
	"net"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/replica"
	"github.com/meshway/meshway/consensus/consensustest"
)

// hostile sends raft messages with the identity of one member and obeys none of
// raft's rules.
type hostile struct {
	network *consensustest.Network
	id      catalog.GatewayID
	as      catalog.GatewayID // the name in its messages
	*raft.NetworkTransport
}

func newHostile(t *testing.T, c *consensustest.Cluster, id catalog.GatewayID) *hostile {
	h := &hostile{network: c.Network, id: id, as: id}
	h.NetworkTransport = raft.NewNetworkTransportWithConfig(&raft.NetworkTransportConfig{
		Stream: hostileStreams{h, make(chan struct{})}, Timeout: time.Minute, Logger: hclog.NewNullLogger(), MaxRPCsInFlight: 1,
	})
	t.Cleanup(func() {
		h.CloseStreams()
		assert.NoError(t, h.NetworkTransport.Close())
	})
	return h
}

func (h *hostile) header() raft.RPCHeader {
	return raft.RPCHeader{ProtocolVersion: raft.ProtocolVersionMax, ID: []byte(h.as), Addr: []byte(h.as)}
}

// hostileStreams dials with the identity of the member, which TLS proves.
type hostileStreams struct {
	of   *hostile
	done chan struct{}
}

func (s hostileStreams) Dial(to raft.ServerAddress, _ time.Duration) (net.Conn, error) {
	return s.of.network.Dial(context.Background(), s.of.id, catalog.GatewayID(to))
}

func (s hostileStreams) Accept() (net.Conn, error) {
	<-s.done
	return nil, net.ErrClosed
}

func (s hostileStreams) Close() error {
	close(s.done)
	return nil
}

func (s hostileStreams) Addr() net.Addr { return &net.UnixAddr{Name: string(s.of.id)} }

// forgeries returns the messages by which one member could take over or stop the
// catalog.
func (h *hostile) forgeries(term uint64) map[string]func(to *consensustest.Member) error {
	id := func(m *consensustest.Member) raft.ServerID { return raft.ServerID(m.ID) }
	at := func(m *consensustest.Member) raft.ServerAddress { return raft.ServerAddress(m.ID) }
	return map[string]func(to *consensustest.Member) error{
		"AppendEntries": func(to *consensustest.Member) error {
			request := &raft.AppendEntriesRequest{RPCHeader: h.header(), Leader: []byte(h.as), Term: term} //nolint:staticcheck // as raft sends it
			return h.AppendEntries(id(to), at(to), request, new(raft.AppendEntriesResponse))
		},
		"RequestVote": func(to *consensustest.Member) error {
			request := &raft.RequestVoteRequest{
				RPCHeader: h.header(), Term: term, LastLogIndex: 1 << 40, LastLogTerm: term, LeadershipTransfer: true,
			}
			return h.RequestVote(id(to), at(to), request, new(raft.RequestVoteResponse))
		},
		"RequestPreVote": func(to *consensustest.Member) error {
			request := &raft.RequestPreVoteRequest{RPCHeader: h.header(), Term: term, LastLogIndex: 1 << 40, LastLogTerm: term}
			return h.RequestPreVote(id(to), at(to), request, new(raft.RequestPreVoteResponse))
		},
		"TimeoutNow": func(to *consensustest.Member) error {
			return h.TimeoutNow(id(to), at(to), &raft.TimeoutNowRequest{RPCHeader: h.header()}, new(raft.TimeoutNowResponse))
		},
		"InstallSnapshot": func(to *consensustest.Member) error {
			var empty bytes.Buffer
			if err := replica.New().View().Encode(&empty); err != nil {
				return err
			}
			alone := raft.Configuration{Servers: []raft.Server{{ID: raft.ServerID(h.id), Address: raft.ServerAddress(h.id)}}}
			request := &raft.InstallSnapshotRequest{
				RPCHeader: h.header(), SnapshotVersion: raft.SnapshotVersionMax, Term: term, Leader: []byte(h.as),
				LastLogIndex: 1 << 40, LastLogTerm: term, Configuration: raft.EncodeConfiguration(alone), ConfigurationIndex: 1 << 40,
				Size: int64(empty.Len()),
			}
			return h.InstallSnapshot(id(to), at(to), request, new(raft.InstallSnapshotResponse), io.Reader(&empty))
		},
	}
}

// requireUnharmed requires that no member lost what was acknowledged, followed the
// forged term or another leader, and that the catalog can be written.
func requireUnharmed(t *testing.T, c *consensustest.Cluster, leader *consensustest.Member, term uint64, key consensustest.Key) {
	t.Helper()
	for _, m := range c.Members {
		s := m.Node.Status()
		require.Equal(t, term, s.Term, "%s", m.ID)
		require.Equal(t, leader.ID, s.Leader, "%s", m.ID)
		require.Equal(t, "before", key.Get(m.Node.View()), "%s", m.ID)
	}
	write(t, leader, consensustest.Key{Owner: leader.ID, Name: "after"}, time.Now().String())
}

// attacked returns a federation with three voters and one member without a vote, and
// a write that was acknowledged.
func attacked(t *testing.T) (c *consensustest.Cluster, leader, plain *consensustest.Member, key consensustest.Key) {
	t.Helper()
	c = consensustest.New(t, 4, consensustest.Options{})
	leader = c.Leader()
	votes := voters(t, leader)
	for _, m := range c.Members {
		if m.ID != votes[0] && m.ID != votes[1] && m.ID != votes[2] {
			plain = m
		}
	}
	key = consensustest.Key{Owner: leader.ID, Name: "web"}
	write(t, leader, key, "before")
	c.WaitEqual()
	return c, leader, plain, key
}

func TestAMemberWithoutAVoteCannotSendWhatOnlyVotersSend(t *testing.T) {
	for _, kind := range []string{"AppendEntries", "RequestVote", "RequestPreVote", "TimeoutNow", "InstallSnapshot"} {
		t.Run(kind, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				c, leader, plain, key := attacked(t)
				h := newHostile(t, c, plain.ID)
				term := leader.Node.Status().Term
				for _, m := range others(c, plain) {
					require.Error(t, h.forgeries(term + 1)[kind](m), "%s", m.ID)
				}
				time.Sleep(20 * time.Second)
				requireUnharmed(t, c, leader, term, key)
			})
		})
	}
}

func TestAMemberCannotSendInTheNameOfAVoter(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, leader, plain, key := attacked(t)
		h := newHostile(t, c, plain.ID)
		h.as = leader.ID
		term := leader.Node.Status().Term
		for kind, forge := range h.forgeries(term + 1) {
			for _, m := range others(c, plain) {
				require.Error(t, forge(m), "%s to %s", kind, m.ID)
			}
		}
		time.Sleep(20 * time.Second)
		requireUnharmed(t, c, leader, term, key)
	})
}

func TestATermFarAheadIsRefusedAlsoFromAVoter(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, leader, plain, key := attacked(t)
		voter := others(c, leader, plain)[0]
		h := newHostile(t, c, voter.ID)
		term := leader.Node.Status().Term
		for _, forged := range []uint64{math.MaxUint64 - 1, 1 << 40} {
			for kind, forge := range h.forgeries(forged) {
				if kind == "TimeoutNow" { // it has no term
					continue
				}
				for _, m := range others(c, voter) {
					require.Error(t, forge(m), "%s to %s", kind, m.ID)
				}
			}
		}
		time.Sleep(20 * time.Second)
		requireUnharmed(t, c, leader, term, key)
	})
}

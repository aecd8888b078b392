package raftnode_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"math"
	"net"
	"slices"
	"testing"
	"time"

	"github.com/hashicorp/raft"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/consensus"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/catalogpb"
	"github.com/meshway/meshway/consensus/consensustest"
	"github.com/meshway/meshway/consensus/raftnode"
	"github.com/meshway/meshway/consensus/raftnode/raftnodetest"
)

// newForger returns a forger that proves to be the member id.
func newForger(t *testing.T, c *consensustest.Cluster, id catalog.GatewayID) *raftnodetest.Forger {
	t.Helper()
	f := raftnodetest.NewForger(id, time.Minute, func(ctx context.Context, to catalog.GatewayID) (net.Conn, error) {
		return c.Network.Dial(ctx, id, to)
	})
	t.Cleanup(func() { assert.NoError(t, f.Close()) })
	return f
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
				f := newForger(t, c, plain.ID)
				term := leader.Node.Status().Term
				for _, m := range others(c, plain) {
					require.Error(t, f.Forgeries(term + 1)[kind](m.ID), "%s", m.ID)
				}
				time.Sleep(20 * time.Second)
				requireUnharmed(t, c, leader, term, key)
			})
		})
	}
}

// reporter is a member that reports another gateway as a voter, too.
type reporter struct {
	consensustest.Server
	also catalog.GatewayID
}

func (r reporter) Electorate() (consensus.Electorate, error) {
	e, err := r.Server.Electorate()
	e.Voters = append(e.Voters, consensus.Voter{ID: r.also})
	return e, err
}

// The leader may have ended its term, or left, after the change that made the sender a
// voter, and before this member received that change.
func TestAMemberWithALeaderLearnsOfALaterVoterFromThatLeader(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, leader, plain, _ := attacked(t)
		c.Network.Serve(leader.ID, reporter{leader.Node, plain.ID})
		member := others(c, leader, plain)[0]
		f := newForger(t, c, plain.ID)
		send := f.Forgeries(leader.Node.Status().Term)["AppendEntries"]
		require.ErrorContains(t, send(member.ID), "is not a voter")
		time.Sleep(10 * time.Millisecond)
		require.NoError(t, send(member.ID))
	})
}

func TestAMemberCannotSendInTheNameOfAVoter(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, leader, plain, key := attacked(t)
		f := newForger(t, c, plain.ID)
		f.Name = leader.ID
		term := leader.Node.Status().Term
		for kind, forge := range f.Forgeries(term + 1) {
			for _, m := range others(c, plain) {
				require.Error(t, forge(m.ID), "%s to %s", kind, m.ID)
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
		f := newForger(t, c, voter.ID)
		term := leader.Node.Status().Term
		for _, forged := range []uint64{math.MaxUint64 - 1, 1 << 40} {
			for kind, forge := range f.Forgeries(forged) {
				if kind == "TimeoutNow" { // it has no term
					continue
				}
				for _, m := range others(c, voter) {
					require.Error(t, forge(m.ID), "%s to %s", kind, m.ID)
				}
			}
		}
		time.Sleep(20 * time.Second)
		requireUnharmed(t, c, leader, term, key)
	})
}

// A member that has such an entry in its log stops at it, also after a restart.
func TestAVoterCannotSendAnEntryThatNoMemberCanApply(t *testing.T) {
	newer := catalog.NewRemoveGateway("west/gw")
	newer.Version = catalog.Level + 1
	unsupported, err := catalog.Marshal(newer)
	require.NoError(t, err)
	many, err := catalog.Marshal(slices.Repeat([]*catalogpb.Command{{Ignorable: true}}, 1<<16)...)
	require.NoError(t, err)
	for name, entry := range map[string]struct {
		kind raft.LogType
		data []byte
		code string
	}{
		"a command of a later build":     {raft.LogCommand, unsupported, consensus.CodeUnknownEntry},
		"a command without a body":       {raft.LogCommand, []byte{0x0a, 0x00}, consensus.CodeUnknownEntry},
		"an unknown field":               {raft.LogCommand, []byte{0x7a, 0x00}, consensus.CodeUnknownEntry},
		"no protobuf":                    {raft.LogCommand, []byte("\xff\xff"), consensus.CodeMalformed},
		"commands that take much memory": {raft.LogCommand, many, consensus.CodeMalformed},
		"a configuration without voters": {raft.LogConfiguration, raft.EncodeConfiguration(raft.Configuration{Servers: []raft.Server{
			{ID: "west/gw", Address: "west/gw", Suffrage: raft.Nonvoter},
		}}), consensus.CodeMalformed},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				c, leader, plain, key := attacked(t)
				voter := others(c, leader, plain)[0]
				f := newForger(t, c, voter.ID)
				status := leader.Node.Status()
				for _, m := range others(c, voter) {
					require.ErrorContains(t, f.Entry(m.ID, status.Term+1, status.CommitIndex, status.Term, entry.kind, entry.data), "entry 0: ", "%s", m.ID)
				}
				time.Sleep(20 * time.Second)
				requireUnharmed(t, c, leader, status.Term, key)
				for _, m := range others(c, voter) {
					refused := m.Node.Status().Refused
					require.Len(t, refused, 1, "%s", m.ID)
					require.Equal(t, voter.ID, refused[0].Gateway)
					require.Equal(t, entry.code, refused[0].Code)
				}
			})
		})
	}
}

// Raft deletes its own entry from the index on, and what it changed stays in one catalog only.
func TestAVoterCannotReplaceAnEntryThatIsApplied(t *testing.T) {
	withEachStore(t, func(t *testing.T, store raftnode.LogStore) {
		c := consensustest.New(t, 3, consensustest.Options{LogStore: store})
		leader := c.Leader()
		key := consensustest.Key{Owner: leader.ID, Name: "web"}
		write(t, leader, key, "before")
		c.WaitEqual()
		voter := others(c, leader)[0]
		f := newForger(t, c, voter.ID)
		status := leader.Node.Status()
		for _, m := range others(c, voter) {
			err := f.Entry(m.ID, status.Term+1, status.CommitIndex-1, status.Term, raft.LogNoop, nil)
			require.ErrorContains(t, err, "this member has applied it with term", "%s", m.ID)
		}
		time.Sleep(20 * time.Second)
		requireUnharmed(t, c, leader, status.Term, key)
		for _, m := range c.Members {
			m.Kill()
		}
		for _, m := range c.Members {
			m.Restart()
		}
		for _, m := range c.Members {
			require.Equal(t, "before", key.Get(m.Node.View()), "%s", m.ID)
		}
	})
}

// A build that did not check what it stored may have the entry in its log.
func TestRecoverRemovesAnEntryThatCannotBeApplied(t *testing.T) {
	withEachStore(t, func(t *testing.T, store raftnode.LogStore) {
		c := consensustest.New(t, 1, consensustest.Options{LogStore: store})
		m := c.Leader()
		key := consensustest.Key{Owner: m.ID, Name: "web"}
		write(t, m, key, "kept")
		require.Error(t, m.Node.WriteRaw(encodeUnknown(t)))
		require.ErrorIs(t, m.Wait(), catalog.ErrUnknownCommand)
		var log bytes.Buffer
		_, err := raftnode.Recover(raftnode.Recovery{
			Dir: m.Dir, ID: m.ID, Voters: []catalog.GatewayID{m.ID}, Now: time.Now(), Log: slog.New(slog.NewTextHandler(&log, nil)),
		})
		require.NoError(t, err)
		require.Contains(t, log.String(), "removed the entries of the log")
		require.Contains(t, log.String(), "upgrade meshd")
		m.Restart()
		require.Equal(t, "kept", key.Get(m.Node.View()))
		write(t, m, key, "goes on")
	})
}

// A leader of a later build does not write it while a member does not support it.
func TestAnUnknownCommandOfTheLeaderDoesNotEnterTheLogOfOthers(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := consensustest.New(t, 3, consensustest.Options{})
		leader := c.Leader()
		key := consensustest.Key{Owner: leader.ID, Name: "web"}
		write(t, leader, key, "x")
		go func() { _ = leader.Node.WriteRaw(encodeUnknown(t)) }()
		c.Until("the others to refuse it", func() bool {
			return !slices.ContainsFunc(others(c, leader), func(m *consensustest.Member) bool { return len(m.Node.Status().Refused) == 0 })
		})
		for _, m := range others(c, leader) {
			refused := m.Node.Status().Refused
			require.Equal(t, consensus.CodeUnknownEntry, refused[0].Code)
			require.Contains(t, refused[0].Message, "upgrade meshd")
		}
		leader.Kill()
		write(t, others(c, leader)[0], key, "y")
		leader.Restart()
		c.WaitEqual()
	})
}

// The end of a leadership is no attack, and must not be reported as one.
func TestTransfersOfLeadershipAmongWritesAreNotReported(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := consensustest.New(t, 6, consensustest.Options{})
		for i := range 30 {
			leader := c.Leader()
			ctx, cancel := context.WithCancel(context.Background())
			writes := make(chan struct{})
			go func() {
				defer close(writes)
				var err error
				for j := 0; j < 200 && err == nil; j++ { // in no time, so they must end
					_, err = leader.Node.Propose(ctx, consensustest.Key{Owner: leader.ID, Name: "web"}.Set(fmt.Sprint(i, j)))
				}
			}()
			known := voters(t, leader)
			_ = leader.Node.TransferLeader(context.Background(), known[i%len(known)]) // it may lead already
			cancel()
			<-writes
		}
		for _, m := range c.Members {
			for _, r := range m.Node.Status().Refused {
				assert.Equal(t, consensus.CodeNotAVoter, r.Code, "%s of %s: %s", m.ID, r.Gateway, r.Message)
			}
		}
	})
}

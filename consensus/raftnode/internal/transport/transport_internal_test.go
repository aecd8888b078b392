package transport

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/consensus"
	"github.com/meshway/meshway/consensus/catalog"
)

// memoryStore is a Store of a log with an entry of each index, or without entries.
type memoryStore struct {
	term      uint64 // of all entries; 0: there are none
	replayed  uint64
	unwritten uint64 // the first entry that is not on the disk; 0: all are
	flush     func() error
}

func (memoryStore) FirstIndex() uint64 { return 0 }
func (s memoryStore) Replayed() uint64 { return s.replayed }

func (s memoryStore) Term(uint64) (uint64, bool) { return s.term, s.term > 0 }

func (s memoryStore) Written(commit uint64) uint64 {
	if s.unwritten == 0 {
		return commit
	}
	return min(commit, s.unwritten-1)
}

func (s memoryStore) Flush() error {
	if s.flush == nil {
		return nil
	}
	return s.flush()
}

// pair is the transports of a/1 and b/1, of which a/1 dials.
type pair struct {
	client, server *Transport
	refused        []*Refusal // by either
	knowledge      Knowledge  // of both
	verify         error
	stores         map[string]*memoryStore // of both
	streams        chan Stream             // to the server
}

func newPair(t *testing.T) *pair {
	t.Helper()
	p := &pair{knowledge: Knowledge{Term: 7, Configuration: configuration("a/1", "b/1"), InCatalog: func(catalog.GatewayID) bool { return false }}}
	p.stores = map[string]*memoryStore{"a/1": {}, "b/1": {}}
	streams := make(chan Stream, 1)
	p.streams = streams
	config := Config{
		RPCTimeout: 5 * time.Second, DialTimeout: time.Second, Contacts: NewContacts(func() time.Duration { return 0 }), Log: hclog.NewNullLogger(),
		Addresses: func(catalog.GatewayID) []string { return []string{"memory"} },
		Network: dialer{dial: func(context.Context, string) (net.Conn, error) {
			near, far := net.Pipe()
			streams <- Stream{Conn: far, From: "a/1"}
			return near, nil
		}},
		Verify:  func([]byte) error { return p.verify },
		Refused: func(_ catalog.GatewayID, why *Refusal) { p.refused = append(p.refused, why) },
	}
	config.ID, config.Store = "a/1", p.stores["a/1"]
	p.client = New(config)
	config.ID, config.Store, config.Incoming = "b/1", p.stores["b/1"], streams
	p.server = New(config)
	for _, trans := range []*Transport{p.client, p.server} {
		trans.Receive(func() Knowledge { return p.knowledge })
		t.Cleanup(func() { require.NoError(t, trans.Close()) })
	}
	return p
}

// configuration returns one in which all ids vote but those that end with "/0".
func configuration(ids ...string) raft.Configuration {
	var c raft.Configuration
	for _, id := range ids {
		s := raft.Server{ID: raft.ServerID(id), Address: raft.ServerAddress(id)}
		if strings.HasSuffix(id, "/0") {
			s.Suffrage = raft.Nonvoter
		}
		c.Servers = append(c.Servers, s)
	}
	return c
}

// answer answers the next message that arrives at the server, within a minute, and
// returns it.
func (p *pair) answer(response any, err error) <-chan raft.RPC {
	served := make(chan raft.RPC, 1)
	go func() {
		defer close(served)
		select {
		case rpc := <-p.server.Consumer():
			rpc.Respond(response, err)
			served <- rpc
		case <-time.After(time.Minute):
		}
	}()
	return served
}

// answered returns how a message to a member ends that it answers so. Without an entry
// it is a heartbeat.
func (p *pair) answered(to string, entries int, response *raft.AppendEntriesResponse) error {
	p.answer(response, nil)
	request := &raft.AppendEntriesRequest{RPCHeader: headerOf("a/1"), Term: 7}
	for range entries {
		request.Entries = append(request.Entries, &raft.Log{Index: 1, Term: 7, Type: raft.LogNoop})
	}
	return p.client.AppendEntries(raft.ServerID(to), raft.ServerAddress(to), request, new(raft.AppendEntriesResponse))
}

func headerOf(id string) raft.RPCHeader {
	return raft.RPCHeader{ProtocolVersion: 3, ID: []byte(id), Addr: []byte(id)}
}

// When raft handles heartbeats beside its main loop, logs can diverge after a
// partition (hashicorp/raft#695).
func TestHeartbeatsTakeNoFastPath(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t)
		var fast atomic.Int32
		p.server.SetHeartbeatHandler(func(rpc raft.RPC) {
			fast.Add(1)
			rpc.Respond(&raft.AppendEntriesResponse{}, nil)
		})
		served := p.answer(&raft.AppendEntriesResponse{Term: 7, Success: true}, nil)
		heartbeat := &raft.AppendEntriesRequest{RPCHeader: headerOf("a/1"), Term: 7}
		var answer raft.AppendEntriesResponse
		require.NoError(t, p.client.AppendEntries("b/1", "b/1", heartbeat, &answer))
		assert.True(t, answer.Success)
		assert.Zero(t, fast.Load(), "a heartbeat was answered beside the main loop")
		rpc, ok := <-served
		require.True(t, ok, "the heartbeat did not reach the main loop")
		assert.IsType(t, heartbeat, rpc.Command)
		assert.Empty(t, p.refused)
	})
}

// The leader counts an entry as stored that it is still writing.
func TestNoFollowerLearnsOfACommitThatTheLeaderHasNotWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t)
		p.stores["a/1"].unwritten = 5
		served := p.answer(&raft.AppendEntriesResponse{Term: 7, Success: true}, nil)
		message := &raft.AppendEntriesRequest{RPCHeader: headerOf("a/1"), Term: 7, LeaderCommitIndex: 5}
		require.NoError(t, p.client.AppendEntries("b/1", "b/1", message, new(raft.AppendEntriesResponse)))
		rpc, ok := (<-served).Command.(*raft.AppendEntriesRequest)
		require.True(t, ok)
		assert.Equal(t, uint64(4), rpc.LeaderCommitIndex)
		contacts, _ := p.client.contacts.All()
		assert.Equal(t, uint64(4), contacts["b/1"].Committed)
	})
}

// Raft confirms entries that it has without storing them again.
func TestEntriesAreWrittenBeforeAnotherLeaderCanCountThem(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t)
		written := make(chan struct{})
		p.stores["b/1"].flush = func() error {
			<-written
			return nil
		}
		served := p.answer(&raft.AppendEntriesResponse{Term: 7, Success: true}, nil)
		message := &raft.AppendEntriesRequest{RPCHeader: headerOf("a/1"), Term: 7}
		answered := make(chan error, 1)
		send := func() { answered <- p.client.AppendEntries("b/1", "b/1", message, new(raft.AppendEntriesResponse)) }
		go send()
		synctest.Wait()
		assert.Empty(t, served, "raft has the message before the entries are written")
		close(written)
		require.NoError(t, <-answered)
		assert.NotEmpty(t, served)

		p.stores["b/1"].flush = func() error { return errors.New("disk is broken") }
		go send()
		require.ErrorContains(t, <-answered, "disk is broken")
	})
}

func TestTheTransportSupportsPreVote(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, ok := any(newPair(t).client).(raft.WithPreVote)
		assert.True(t, ok)
	})
}

// A follower that rejects entries while the leader sends can block raft's pipeline
// permanently (hashicorp/raft#612).
func TestReplicationIsNotPipelined(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, err := newPair(t).client.AppendEntriesPipeline("b/1", "b/1")
		require.ErrorIs(t, err, raft.ErrPipelineReplicationNotSupported)
	})
}

func TestASnapshotThatDoesNotVerifyDoesNotReachRaft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t)
		send := func() error {
			content := strings.Repeat("catalog", 1000)
			request := &raft.InstallSnapshotRequest{
				RPCHeader: headerOf("a/1"), Term: 7, LastLogTerm: 7, Size: int64(len(content)),
				Configuration: raft.EncodeConfiguration(configuration("a/1")),
			}
			return p.client.InstallSnapshot("b/1", "b/1", request, new(raft.InstallSnapshotResponse), strings.NewReader(content))
		}
		p.verify = errors.New("the CA of west is forged")
		served := p.answer(&raft.InstallSnapshotResponse{Term: 7, Success: true}, nil)
		require.Error(t, send())
		require.Len(t, p.refused, 1)
		assert.Equal(t, consensus.CodeSnapshotForged, p.refused[0].Code)
		assert.ErrorContains(t, p.refused[0], "the CA of west is forged")
		p.verify = nil
		require.NoError(t, send())
		rpc := <-served
		var content bytes.Buffer
		_, err := io.Copy(&content, rpc.Reader)
		require.NoError(t, err)
		assert.Equal(t, strings.Repeat("catalog", 1000), content.String())
	})
}

// It does not verify, but its sender did nothing wrong.
func TestASnapshotWhoseTransferWasInterruptedIsNotRecorded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t)
		p.verify = errors.New("unexpected end")
		const content = "the first half"
		request := &raft.InstallSnapshotRequest{
			RPCHeader: headerOf("a/1"), Term: 7, LastLogTerm: 7, Size: 2 * int64(len(content)),
			Configuration: raft.EncodeConfiguration(configuration("a/1")),
		}
		require.Error(t, p.client.InstallSnapshot("b/1", "b/1", request, new(raft.InstallSnapshotResponse), strings.NewReader(content)))
		synctest.Wait()
		assert.Empty(t, p.refused)
	})
}

func TestAnAnswerDoesNotRaiseTheTermWithoutLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t)
		calls := map[string]func() error{
			"AppendEntries": func() error {
				p.answer(&raft.AppendEntriesResponse{Term: 1 << 60}, nil)
				return p.client.AppendEntries("b/1", "b/1", &raft.AppendEntriesRequest{RPCHeader: headerOf("a/1"), Term: 7}, new(raft.AppendEntriesResponse))
			},
			"RequestVote": func() error {
				p.answer(&raft.RequestVoteResponse{Term: 1 << 60}, nil)
				return p.client.RequestVote("b/1", "b/1", &raft.RequestVoteRequest{RPCHeader: headerOf("a/1"), Term: 7}, new(raft.RequestVoteResponse))
			},
			"RequestPreVote": func() error {
				p.answer(&raft.RequestPreVoteResponse{Term: 1 << 60}, nil)
				return p.client.RequestPreVote("b/1", "b/1", &raft.RequestPreVoteRequest{RPCHeader: headerOf("a/1"), Term: 7}, new(raft.RequestPreVoteResponse))
			},
		}
		for kind, call := range calls {
			require.ErrorContains(t, call(), "term 1152921504606846976", kind)
		}
	})
}

// Raft's leader steps down at an answer with a later term.
func TestTheMembersWithoutAVoteEndALeadershipOnceInTenMinutes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t)
		p.knowledge.Configuration = configuration("a/1", "b/0")
		require.NoError(t, p.answered("b/0", 1, &raft.AppendEntriesResponse{Term: 8}), "it may have lost its vote after an election of its own")
		require.Error(t, p.answered("b/0", 1, &raft.AppendEntriesResponse{Term: 8}))
		require.Error(t, p.answered("b/2", 1, &raft.AppendEntriesResponse{Term: 8}))
		require.Error(t, p.answered("c/0", 1, &raft.AppendEntriesResponse{Term: 8}))
		time.Sleep(beliefInterval)
		require.NoError(t, p.answered("c/0", 1, &raft.AppendEntriesResponse{Term: 8}))
	})
}

// Raft ends a leadership, and not that of the later term, at a heartbeat that is not
// confirmed while it verifies the leadership.
func TestAHeartbeatThatAMemberWithoutAVoteDoesNotConfirmChangesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t)
		p.knowledge.Configuration = configuration("a/1", "b/0", "c/1")
		require.Error(t, p.answered("b/0", 0, &raft.AppendEntriesResponse{Term: 7}))
		require.Len(t, p.refused, 1)
		require.Error(t, p.answered("b/0", 0, &raft.AppendEntriesResponse{}))
		require.Error(t, p.answered("b/0", 0, &raft.AppendEntriesResponse{Term: 8}))
		require.NoError(t, p.answered("b/0", 0, &raft.AppendEntriesResponse{Term: 7, Success: true}))
		require.NoError(t, p.answered("b/0", 1, &raft.AppendEntriesResponse{Term: 7}), "it lacks entries")
		require.NoError(t, p.answered("b/0", 1, &raft.AppendEntriesResponse{Term: 8}), "the heartbeat has not used this up")
		for range 3 {
			require.NoError(t, p.answered("c/1", 0, &raft.AppendEntriesResponse{Term: 8}))
			require.NoError(t, p.answered("c/1", 1, &raft.AppendEntriesResponse{Term: 8}))
		}
	})
}

func TestALaterTermOfAMemberWithoutAVoteIsGivenToRaft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t)
		p.knowledge.Configuration = configuration("a/1", "b/0")
		got := make(chan raft.RPC, 1)
		go func() { got <- <-p.client.Consumer() }()
		require.Error(t, p.answered("b/0", 1, &raft.AppendEntriesResponse{Term: 7 + maxLaterTerm + 1}))
		require.NoError(t, p.answered("b/0", 1, &raft.AppendEntriesResponse{Term: 12}))
		request, ok := (<-got).Command.(*raft.RequestVoteRequest)
		require.True(t, ok)
		assert.Equal(t, uint64(12), request.Term)
		assert.Equal(t, "b/0", string(request.ID))
		assert.Zero(t, request.LastLogTerm, "no vote is given for it")
	})
}

// An election raises the term by one. It is at least one more after an answer with a
// later term, whichever member leads then.
func TestALeaderCountsWhatALeaderBeforeItBelieved(t *testing.T) {
	for _, tc := range []struct {
		name string
		led  []uint64
		want bool
	}{
		{"none", nil, false},
		{"the first", []uint64{7}, false},
		{"elections", []uint64{7, 8, 8, 9}, false},
		{"a later term was believed", []uint64{7, 9}, true},
		{"a later term was believed before an election", []uint64{7, 70, 71}, true},
		{"a former leader", []uint64{9, 7, 8, 9}, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var b believed
				for _, term := range tc.led {
					b.led(term, time.Now())
				}
				require.Equal(t, tc.want, b.again(time.Now()))
				time.Sleep(beliefInterval)
				require.False(t, b.again(time.Now()))
			})
		})
	}
}

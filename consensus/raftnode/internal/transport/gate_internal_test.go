package transport

import (
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/consensus/catalog"
)

// occupy writes to new streams of gateways of the server, on each until it takes no more, and
// returns how many bytes it took of all.
func (p *pair) occupy(begin []byte, most int, from ...catalog.GatewayID) (taken int) {
	written := make(chan int, len(from))
	for _, id := range from {
		near, far := net.Pipe()
		p.streams <- Stream{Conn: far, From: id}
		go func() {
			n := sendEndlessly(near, begin, most)
			written <- n
		}()
		synctest.Wait()
	}
	for range from {
		taken += <-written
	}
	return taken
}

// Each of many streams would be read up to the longest message.
func TestOneLargeMessageIsReadAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t)
		p.knowledge.Configuration = configuration("a/1", "b/1", "c/1")
		const size, streams = 4 << 20, 8
		p.server.inbound.most = 2 * size
		assert.Less(t, p.occupy(endlessRequest(), size, "c/1", "a/1", "a/1", "a/1", "a/1", "a/1", "a/1", "a/1"), size+streams<<20)
		assert.Empty(t, p.refused, "an honest voter whose leadership has ended sends one")
	})
}

func TestALaterStreamOfTheSameGatewayReplacesOneThatSendsALargeMessage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t)
		p.server.inbound.most = 8 << 20
		p.occupy(endlessRequest(), 4<<20, "a/1")
		assert.GreaterOrEqual(t, p.occupy(endlessRequest(), 4<<20, "a/1"), 4<<20)
	})
}

// A voter that is hostile sends slowly what it must not send at all.
func TestTheLeaderSendsLargeMessagesWhileAnotherVoterDoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t)
		p.knowledge.Configuration = configuration("a/1", "b/1", "c/1")
		p.knowledge.Leader = "a/1"
		p.occupy(endlessRequest(), 4<<20, "c/1")
		served := p.answer(&raft.AppendEntriesResponse{Term: 7, Success: true}, nil)
		request := &raft.AppendEntriesRequest{RPCHeader: headerOf("a/1"), Term: 7, Entries: []*raft.Log{
			{Index: 1, Term: 7, Type: raft.LogCommand, Data: entryOf(t, 768<<10)},
		}}
		require.NoError(t, p.client.AppendEntries("b/1", "b/1", request, new(raft.AppendEntriesResponse)))
		<-served
		assert.Less(t, p.occupy(endlessRequest(), 4<<20, "c/1"), 8<<20)
	})
}

func TestTheLeaderSendsASnapshotWhileAnotherVoterDoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t)
		p.knowledge.Configuration = configuration("a/1", "b/1", "c/1", "d/1")
		p.knowledge.Leader = "a/1"
		snapshot := func(from string, size int) *raft.InstallSnapshotRequest {
			return &raft.InstallSnapshotRequest{
				RPCHeader: headerOf(from), Term: 7, LastLogTerm: 7, Size: int64(size), Configuration: raft.EncodeConfiguration(configuration(from)),
			}
		}
		send := func(from string, content string, size int) error {
			near, far := net.Pipe()
			p.streams <- Stream{Conn: far, From: catalog.GatewayID(from)}
			sender := raft.NewNetworkTransportWithConfig(&raft.NetworkTransportConfig{
				Stream: &dialsOne{near}, Timeout: time.Minute, Logger: p.server.inbound.cfg.Log, MaxRPCsInFlight: 1,
			})
			defer sender.Close()
			return sender.InstallSnapshot("b/1", "b/1", snapshot(from, size), new(raft.InstallSnapshotResponse), strings.NewReader(content))
		}
		first := make(chan error, 1)
		go func() { first <- send("c/1", strings.Repeat("x", 1<<20), 1<<20+1) }() // and waits for the last byte
		synctest.Wait()
		require.Error(t, send("d/1", strings.Repeat("x", 1<<20), 1<<20))
		assert.Empty(t, first)
		served := p.answer(&raft.InstallSnapshotResponse{Term: 7, Success: true}, nil)
		require.NoError(t, send("a/1", "catalog", len("catalog")))
		<-served
		require.Error(t, <-first)
		assert.Empty(t, p.refused)
	})
}

// dialsOne is a raft.StreamLayer with one stream.
type dialsOne struct{ net.Conn }

func (d *dialsOne) Dial(raft.ServerAddress, time.Duration) (net.Conn, error) { return d.Conn, nil }

func (d *dialsOne) Accept() (net.Conn, error) { return nil, net.ErrClosed }

func (d *dialsOne) Addr() net.Addr { return d.LocalAddr() }

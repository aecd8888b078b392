package transport

import (
	"context"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/consensus"
	"github.com/meshway/meshway/consensus/catalog"
)

// endlessRequest returns the begin of an AppendEntries request, up to the data of an
// entry, whose length is given as 4 GiB.
func endlessRequest() []byte {
	return []byte("\x00\x81\xa7Entries\x91\x81\xa4Data\xc6\xff\xff\xff\xff")
}

// sendEndlessly writes to a stream until it is closed, and returns how many bytes the
// other end has read.
func sendEndlessly(conn net.Conn, begin []byte, limit int) (written int) {
	n, err := conn.Write(begin)
	written = n
	block := make([]byte, 64<<10)
	for err == nil && written < limit {
		n, err = conn.Write(block)
		written += n
	}
	return written
}

func TestAGatewayWithoutAVoteCannotSendALargeMessage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t)
		p.knowledge.Configuration = configuration("a/0", "b/1")
		near, far := net.Pipe()
		p.streams <- Stream{Conn: far, From: "a/0"}
		written := sendEndlessly(near, endlessRequest(), 16<<20)
		synctest.Wait()
		assert.LessOrEqual(t, written, 1<<20)
		require.Len(t, p.refused, 1)
		assert.Equal(t, consensus.CodeNotAVoter, p.refused[0].Code)
	})
}

func TestAVoterCannotSendAMessageWithoutAnEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t)
		p.server.inbound.most = 2 << 20
		near, far := net.Pipe()
		p.streams <- Stream{Conn: far, From: "a/1"}
		written := sendEndlessly(near, endlessRequest(), 16<<20)
		assert.LessOrEqual(t, written, 3<<20)
	})
}

// entryOf returns an entry of a command with size bytes.
func entryOf(t testing.TB, size int) []byte {
	t.Helper()
	entry, err := catalog.Marshal(catalog.NewRemoveGateway(catalog.GatewayID(strings.Repeat("x", size))))
	require.NoError(t, err)
	return entry
}

func TestAVoterSendsManyLargeMessages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t)
		p.server.inbound.most = 2 << 20
		for i := range 8 {
			served := p.answer(&raft.AppendEntriesResponse{Term: 7, Success: true}, nil)
			request := &raft.AppendEntriesRequest{RPCHeader: headerOf("a/1"), Term: 7, Entries: []*raft.Log{
				{Index: 1, Term: 7, Type: raft.LogCommand, Data: entryOf(t, 512<<10)}, {Index: 2, Term: 7, Type: raft.LogCommand, Data: entryOf(t, 512<<10)},
			}}
			require.NoError(t, p.client.AppendEntries("b/1", "b/1", request, new(raft.AppendEntriesResponse)), i)
			<-served
		}
	})
}

// A snapshot follows its message, and has a size of its own.
func TestALargeSnapshotIsReceived(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t)
		p.server.inbound.most = 1 << 20
		content := strings.Repeat("catalog.", 1<<19)
		served := p.answer(&raft.InstallSnapshotResponse{Term: 7, Success: true}, nil)
		request := &raft.InstallSnapshotRequest{
			RPCHeader: headerOf("a/1"), Term: 7, LastLogTerm: 7, Size: int64(len(content)),
			Configuration: raft.EncodeConfiguration(configuration("a/1")),
		}
		require.NoError(t, p.client.InstallSnapshot("b/1", "b/1", request, new(raft.InstallSnapshotResponse), strings.NewReader(content)))
		<-served
	})
}

// A leader reads the answers of all members.
func TestAnAnswerWithoutAnEndEndsTheStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t)
		written := make(chan int, 1)
		p.client.layer.network = dialer{dial: func(context.Context, string) (net.Conn, error) {
			near, far := net.Pipe()
			go func() { _, _ = io.Copy(io.Discard, far) }()
			go func() { written <- sendEndlessly(far, []byte{0xdb, 0xff, 0xff, 0xff, 0xff}, 16<<20) }() // a string of 4 GiB
			return near, nil
		}}
		begin := time.Now()
		require.Error(t, p.client.AppendEntries("b/1", "b/1", &raft.AppendEntriesRequest{RPCHeader: headerOf("a/1"), Term: 7}, new(raft.AppendEntriesResponse)))
		assert.Less(t, time.Since(begin), time.Second)
		assert.LessOrEqual(t, <-written, 1<<20)
	})
}

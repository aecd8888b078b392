package transport

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/consensus/catalog"
)

// FuzzStream checks that the bytes that a member sends on its stream never cause a panic,
// and that no message reaches raft but one that this member may send. Raft decodes the
// messages, before anything of this package has seen them.
func FuzzStream(f *testing.F) {
	for _, send := range []func(*Transport) error{
		func(t *Transport) error {
			return t.AppendEntries("b/1", "b/1", &raft.AppendEntriesRequest{
				RPCHeader: headerOf("a/1"), Term: 7, PrevLogEntry: 3,
				Entries: []*raft.Log{{Index: 4, Term: 7, Type: raft.LogCommand, Data: entryOf(f, 16)}},
			}, new(raft.AppendEntriesResponse))
		},
		func(t *Transport) error {
			return t.RequestVote("b/1", "b/1", &raft.RequestVoteRequest{RPCHeader: headerOf("a/1"), Term: 8}, new(raft.RequestVoteResponse))
		},
		func(t *Transport) error {
			return t.TimeoutNow("b/1", "b/1", &raft.TimeoutNowRequest{RPCHeader: headerOf("b/1")}, new(raft.TimeoutNowResponse))
		},
		func(t *Transport) error {
			return t.InstallSnapshot("b/1", "b/1", &raft.InstallSnapshotRequest{RPCHeader: headerOf("a/1"), Term: 7, Size: 4}, new(raft.InstallSnapshotResponse), strings.NewReader("data"))
		},
	} {
		message := sent(f, send)
		f.Add(message)
		f.Add(append(message[:len(message):len(message)], message...))
	}
	f.Add([]byte{2, 0x81, 0xa4, 'D', 'a', 't', 'a', 0xdd, 0x7f, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, data []byte) {
		synctest.Test(t, func(t *testing.T) {
			p := newPair(t)
			near, far := net.Pipe()
			p.streams <- Stream{Conn: far, From: "a/1"}
			go func() { _, _ = io.Copy(io.Discard, near) }()
			go func() {
				_, _ = near.Write(data)
				_ = near.Close()
			}()
			for {
				select {
				case rpc := <-p.server.Consumer():
					m, known := read(rpc.Command)
					require.True(t, known)
					require.Equal(t, "a/1", string(m.header.ID))
					require.LessOrEqual(t, m.term, p.knowledge.Term+maxTermLead)
					rpc.Respond(nil, errors.New("not accepted"))
				case <-time.After(time.Minute): // all is read, or the stream is closed
					return
				}
			}
		})
	})
}

// sent returns the bytes that a transport writes to send a message.
func sent(f *testing.F, send func(*Transport) error) []byte {
	f.Helper()
	written := make(chan []byte, 1)
	trans := New(Config{
		ID: "a/1", RPCTimeout: 5 * time.Second, DialTimeout: time.Second, Contacts: NewContacts(func() time.Duration { return 0 }), Log: hclog.NewNullLogger(),
		Store:     memoryStore{},
		Addresses: func(id catalog.GatewayID) []string { return []string{string(id)} },
		Network: dialer{dial: func(context.Context, string) (net.Conn, error) {
			near, far := net.Pipe()
			go func() {
				message := make([]byte, 64<<10)
				n, _ := far.Read(message) // raft writes a message at once
				written <- message[:n]
				_ = far.Close()
			}()
			return near, nil
		}},
	})
	defer func() { require.NoError(f, trans.Close()) }()
	trans.Receive(func() Knowledge { return Knowledge{} })
	require.Error(f, send(trans), "nobody answers")
	message := <-written
	require.NotEmpty(f, message)
	return message
}

package transport

import (
	"bytes"
	"context"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/consensus/catalog"
)

// FuzzAnswer checks that the bytes with which a member answers never cause a panic, and that
// raft sees no answer whose term is beyond what elections can reach. The seeds are
// an error (empty: none), and an answer in MessagePack.
func FuzzAnswer(f *testing.F) {
	const none, refused = "\xa0", "\xa7refused"
	for _, answer := range []string{
		none + "\x84\xa4Term\x07\xa7LastLog\x04\xa7Success\xc3\xaeNoRetryBackoff\xc2",
		none + "\x83\xa4Term\xcf\xff\xff\xff\xff\xff\xff\xff\xff\xa7Granted\xc3\xa5Peers\xc0",
		refused + "\x80", none, none + "\xdf\xff\xff\xff\xff", none + "\x81\xa9RPCHeader\xdd\x7f\xff\xff\xff",
	} {
		for kind := range uint8(4) {
			f.Add(kind, []byte(answer))
		}
	}
	f.Fuzz(func(t *testing.T, kind uint8, answer []byte) {
		synctest.Test(t, func(t *testing.T) {
			trans := New(Config{
				ID: "a/1", RPCTimeout: 5 * time.Second, DialTimeout: time.Second, Contacts: NewContacts(func() time.Duration { return 0 }), Log: hclog.NewNullLogger(),
				Addresses: func(id catalog.GatewayID) []string { return []string{string(id)} },
				Store:     memoryStore{},
				Refused:   func(catalog.GatewayID, *Refusal) {},
				Network: dialer{dial: func(context.Context, string) (net.Conn, error) {
					near, far := net.Pipe()
					go func() { _, _ = io.Copy(io.Discard, far) }()
					go func() {
						_, _ = far.Write(answer)
						_ = far.Close()
					}()
					return near, nil
				}},
			})
			defer func() { require.NoError(t, trans.Close()) }()
			trans.Receive(func() Knowledge { return Knowledge{Term: 7, Configuration: configuration("a/1", "b/1")} })
			term, err := call(trans, kind)
			if err == nil {
				require.LessOrEqual(t, term, uint64(7+maxTermLead))
			}
		})
	})
}

// call sends a message of one kind to b/1 and returns the term of the answer.
func call(trans *Transport, kind uint8) (term uint64, err error) {
	header := headerOf("a/1")
	switch kind % 4 {
	case 0:
		var resp raft.AppendEntriesResponse
		err = trans.AppendEntries("b/1", "b/1", &raft.AppendEntriesRequest{RPCHeader: header, Term: 7}, &resp)
		term = resp.Term
	case 1:
		var resp raft.RequestVoteResponse
		err = trans.RequestVote("b/1", "b/1", &raft.RequestVoteRequest{RPCHeader: header, Term: 7}, &resp)
		term = resp.Term
	case 2:
		var resp raft.RequestPreVoteResponse
		err = trans.RequestPreVote("b/1", "b/1", &raft.RequestPreVoteRequest{RPCHeader: header, Term: 7}, &resp)
		term = resp.Term
	default:
		var resp raft.InstallSnapshotResponse
		err = trans.InstallSnapshot("b/1", "b/1", &raft.InstallSnapshotRequest{RPCHeader: header, Term: 7, Size: 1}, &resp, bytes.NewReader([]byte{1}))
		term = resp.Term
	}
	return term, err
}

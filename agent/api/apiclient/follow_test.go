package apiclient_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/agent/api/access"
	"github.com/meshway/meshway/agent/api/apiclient"
	"github.com/meshway/meshway/agent/api/apipb"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/consensustest"
)

func (l *local) put(name, value string) {
	_, err := l.Propose(context.Background(), catalog.NewPutServices([]catalog.Service{{
		ServiceKey: key(name), Owner: "dc0/gw0", Address: netip.MustParseAddr("10.0.0.1"), Labels: map[string]string{"value": value},
	}}))
	must(err)
}

func (l *local) remove(name string) {
	_, err := l.Propose(context.Background(), catalog.NewDeleteServices([]catalog.ServiceKey{key(name)}))
	must(err)
}

func key(name string) catalog.ServiceKey {
	return catalog.ServiceKey{Datacenter: "dc0", Namespace: "test", Name: name, Instance: "one"}
}

// follow sends the changes of Follow after an index, "web=1" or "-web", until the test ends.
func follow(t *testing.T, client *apiclient.Client, index uint64) <-chan string {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	changes, ended := make(chan string, 100), make(chan error, 1)
	go func() {
		ended <- client.Follow(ctx, &apipb.WatchRequest{Index: index}, func(c apiclient.Change) error {
			s := c.Item.GetService()
			if c.Deleted {
				changes <- "-" + s.GetName()
			} else {
				changes <- s.GetName() + "=" + s.GetLabels()["value"]
			}
			return nil
		}, nil)
	}()
	t.Cleanup(func() {
		cancel()
		require.ErrorIs(t, <-ended, context.Canceled)
	})
	return changes
}

func TestFollowContinuesWhenMeshdIsStartedAgain(t *testing.T) {
	l, socket := newLocal(), filepath.Join(consensustest.TempDir(t), "s")
	stop := serve(socket, l.handler())
	changes := follow(t, apiclient.Socket(socket), 0)
	l.put("web", "1")
	assert.Equal(t, "web=1", <-changes)
	l.put("web", "2")
	assert.Equal(t, "web=2", <-changes)
	stop()
	l.put("web", "3")
	l.put("db", "1")
	defer serve(socket, l.handler())()
	assert.Equal(t, "web=3", <-changes)
	assert.Equal(t, "db=1", <-changes)
	l.remove("web")
	assert.Equal(t, "-web", <-changes)
	assert.Empty(t, changes, "each once")
}

func TestFollowMissesNothingWhenTheHistoryIsLost(t *testing.T) {
	l, socket := newLocal(), filepath.Join(consensustest.TempDir(t), "s")
	stop := serve(socket, l.handler())
	changes := follow(t, apiclient.Socket(socket), 0)
	for i, name := range []string{"kept", "changed", "deleted"} {
		l.put(name, "1")
		assert.Equal(t, name+"=1", <-changes, i)
	}
	stop()
	l.put("changed", "2")
	l.remove("deleted")
	l.put("new", "1")
	var snapshot bytes.Buffer
	require.NoError(t, l.View().Encode(&snapshot))
	require.NoError(t, l.state.Restore(&snapshot)) // its history begins there
	defer serve(socket, l.handler())()
	got := []string{<-changes, <-changes, <-changes}
	assert.ElementsMatch(t, []string{"changed=2", "new=1", "-deleted"}, got)
	l.put("kept", "2")
	assert.Equal(t, "kept=2", <-changes)
}

func TestFollowFromAnIndexGetsDeletionsOfEarlierItems(t *testing.T) {
	l, socket := newLocal(), filepath.Join(consensustest.TempDir(t), "s")
	l.put("web", "1")
	defer serve(socket, l.handler())()
	changes := follow(t, apiclient.Socket(socket), l.View().Index())
	l.remove("web")
	assert.Equal(t, "-web", <-changes)
	l.put("web", "2")
	assert.Equal(t, "web=2", <-changes)
}

func TestFollowWaitsForAMeshdThatHasNotReachedItsIndex(t *testing.T) {
	l, socket := newLocal(), filepath.Join(consensustest.TempDir(t), "s")
	l.put("old", "1")
	defer serve(socket, l.handler())()
	changes := follow(t, apiclient.Socket(socket), l.View().Index()+2)
	for _, value := range []string{"1", "2", "3"} {
		l.put("web", value)
	}
	assert.Equal(t, "web=3", <-changes, "the state is not sent again")
}

func TestFollowEndsWithAnErrorThatARetryCannotHelp(t *testing.T) {
	socket, stop := meshd()
	defer stop()
	err := apiclient.Socket(socket).Follow(t.Context(), &apipb.WatchRequest{Labels: "a in (b)"}, nil, nil)
	assert.Equal(t, connect.CodeInvalidArgument, connect.CodeOf(err))

	l := newLocal()
	l.put("web", "1")
	own := filepath.Join(consensustest.TempDir(t), "s")
	defer serve(own, l.handler())()
	failed := errors.New("failed")
	err = apiclient.Socket(own).Follow(t.Context(), &apipb.WatchRequest{}, func(apiclient.Change) error { return failed }, nil)
	require.ErrorIs(t, err, failed)

	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	var retries int
	err = apiclient.Socket("/nonexistent").Follow(ctx, &apipb.WatchRequest{}, nil, func(error) { retries++ })
	require.ErrorIs(t, err, context.DeadlineExceeded)
	assert.Positive(t, retries)
}

func TestAPortNeedsItsToken(t *testing.T) {
	const token = "0123456789abcdef0123456789abcdef"
	path := filepath.Join(t.TempDir(), "tokens")
	require.NoError(t, os.WriteFile(path, fmt.Appendf(nil, "test read %s\n", token), 0o600))
	var listen net.ListenConfig
	listener, err := listen.Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer serveOn(listener, access.NewTokens(path, slog.New(slog.DiscardHandler)).Require(newLocal().handler()))()
	url := "http://" + listener.Addr().String()
	_, err = apiclient.Port(url, token).List(t.Context(), connect.NewRequest(&apipb.ListRequest{}))
	require.NoError(t, err)
	stream, err := apiclient.Port(url, token).Watch(t.Context(), connect.NewRequest(&apipb.WatchRequest{}))
	require.NoError(t, err)
	require.True(t, stream.Receive(), stream.Err())
	_, err = apiclient.Port(url, token).Register(t.Context(), connect.NewRequest(&apipb.RegisterRequest{}))
	assert.Equal(t, connect.CodePermissionDenied, connect.CodeOf(err))
	err = apiclient.Port(url, "wrong").Follow(t.Context(), &apipb.WatchRequest{}, nil, nil)
	assert.Equal(t, connect.CodeUnauthenticated, connect.CodeOf(err))
}

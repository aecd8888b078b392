package apiclient_test

import (
	"context"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/meshway/meshway/agent/api"
	"github.com/meshway/meshway/agent/config"
	"github.com/meshway/meshway/agent/registrar"
	"github.com/meshway/meshway/consensus"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/catalogpb"
	"github.com/meshway/meshway/consensus/catalog/feed"
	"github.com/meshway/meshway/consensus/catalog/replica"
	"github.com/meshway/meshway/consensus/consensustest"
)

// local is the catalog of a federation with one gateway, dc0/gw0, without raft. Its
// errors are panics, since an Example has no testing.TB.
type local struct {
	mu    sync.Mutex // guards all following
	state *replica.State
	feed  *feed.Feed
	index uint64
}

func newLocal() *local {
	l := &local{state: replica.New(), feed: feed.New()}
	l.state.Observe(l.feed.Observe)
	_, err := l.Propose(context.Background(), consensustest.NewInit("dc0", "gw0"))
	must(err)
	return l
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func (l *local) View() *replica.View { return l.state.View() }

func (l *local) Feed() *feed.Feed { return l.feed }

func (l *local) Changed() <-chan struct{} { return l.state.Changed() }

func (l *local) Read(context.Context, consensus.ReadMode) (*replica.View, consensus.Freshness, error) {
	v := l.View()
	return v, consensus.Freshness{Index: v.Index(), Leader: "dc0/gw0"}, nil
}

func (l *local) Propose(_ context.Context, cmds ...*catalogpb.Command) ([]catalog.Result, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, cmd := range cmds {
		cmd.Author, cmd.At = "dc0/gw0", timestamppb.Now()
	}
	entry, err := catalog.Marshal(cmds...)
	if err != nil {
		return nil, err
	}
	l.index++
	return l.state.Apply(l.index, entry)
}

type noStore struct{}

func (noStore) Load() ([]catalog.Service, error)                     { return nil, nil }
func (noStore) Update([]catalog.Service, []catalog.ServiceKey) error { return nil }

// handler serves the catalog as meshd does.
func (l *local) handler() http.Handler {
	reg, err := registrar.Open(registrar.Config{
		File: config.Config{Datacenter: "dc0", Gateway: "gw0"}, Catalog: l, Store: noStore{},
	})
	must(err)
	mux := http.NewServeMux()
	mux.Handle(api.New(api.Config{
		Datacenter: "dc0",
		Member:     func() (api.Member, error) { return l, nil },
		Registrar:  func() (api.Registrar, error) { return reg, nil },
	}))
	return mux
}

// meshd serves a catalog on a unix socket.
func meshd() (socket string, stop func()) {
	dir, err := os.MkdirTemp("", "meshd")
	must(err)
	socket = filepath.Join(dir, "meshd.sock")
	stopServer := serve(socket, newLocal().handler())
	return socket, func() {
		stopServer()
		must(os.RemoveAll(dir))
	}
}

func serve(socket string, handler http.Handler) (stop func()) {
	var listen net.ListenConfig
	listener, err := listen.Listen(context.Background(), "unix", socket)
	must(err)
	return serveOn(listener, handler)
}

func serveOn(listener net.Listener, handler http.Handler) (stop func()) {
	server := &http.Server{Handler: handler, Protocols: new(http.Protocols)} //nolint:gosec // of this process
	server.Protocols.SetUnencryptedHTTP2(true)
	server.Protocols.SetHTTP1(true)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(listener) // ends with ErrServerClosed
	}()
	return func() {
		must(server.Close())
		<-done
	}
}

package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/agent/api"
	"github.com/meshway/meshway/agent/api/apipb/apipbconnect"
	"github.com/meshway/meshway/agent/config"
	"github.com/meshway/meshway/agent/member"
	"github.com/meshway/meshway/agent/registrar"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/consensustest"
)

// door is the handler of one member on a unix socket.
type door struct {
	t      testing.TB
	socket string
	http   *http.Client
}

// serve serves m until the test ends or ended is closed.
func serve(t testing.TB, m *consensustest.Member, ended chan struct{}) *door {
	t.Helper()
	return serveWith(t, m, ended, 50*time.Millisecond)
}

func serveWith(t testing.TB, m *consensustest.Member, ended chan struct{}, bookmarks time.Duration) *door {
	t.Helper()
	reg, err := registrar.Open(registrar.Config{
		File: config.Config{Datacenter: m.ID.Datacenter(), Gateway: m.ID.Name()}, Catalog: m.Node, Store: noStore{},
	})
	require.NoError(t, err)
	path, handler := api.New(api.Config{
		Registrar:  func() (api.Registrar, error) { return reg, nil },
		Datacenter: m.ID.Datacenter(),
		Member:     func() (api.Member, error) { return m.Node, nil },
		Ended:      ended,
		Sentinels:  member.Sentinels(),
		Bookmarks:  bookmarks,
	})
	mux := http.NewServeMux()
	mux.Handle(path, handler)
	return serveHandler(t, mux)
}

// noStore is a registrar.Store that keeps nothing.
type noStore struct{}

func (noStore) Load() ([]catalog.Service, error)                     { return nil, nil }
func (noStore) Update([]catalog.Service, []catalog.ServiceKey) error { return nil }

func serveHandler(t testing.TB, handler http.Handler) *door {
	t.Helper()
	socket := filepath.Join(consensustest.TempDir(t), "s")
	var listen net.ListenConfig
	listener, err := listen.Listen(t.Context(), "unix", socket)
	require.NoError(t, err)
	server := &http.Server{Handler: handler, Protocols: protocols(), ReadHeaderTimeout: time.Minute}
	done := make(chan error, 1)
	go func() { done <- server.Serve(listener) }()
	t.Cleanup(func() {
		assert.NoError(t, server.Close())
		assert.ErrorIs(t, <-done, http.ErrServerClosed)
	})
	d := &door{t: t, socket: socket}
	d.http = d.client()
	return d
}

func protocols() *http.Protocols {
	p := new(http.Protocols)
	p.SetHTTP1(true)
	p.SetUnencryptedHTTP2(true)
	return p
}

// client returns an HTTP client with connections of its own.
func (d *door) client() *http.Client {
	transport := &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var dialer net.Dialer
			return dialer.DialContext(ctx, "unix", d.socket)
		},
	}
	d.t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

// multiplexed returns a client that has all its calls on one connection.
func (d *door) multiplexed() *http.Client {
	client := d.client()
	transport := client.Transport.(*http.Transport)
	transport.Protocols = new(http.Protocols)
	transport.Protocols.SetUnencryptedHTTP2(true)
	return client
}

func (d *door) catalog() apipbconnect.CatalogClient {
	return apipbconnect.NewCatalogClient(d.http, "http://meshd")
}

// post sends JSON, as curl does, and returns the status and the answer.
func (d *door) post(procedure, body string) (int, map[string]any) {
	d.t.Helper()
	request, err := http.NewRequestWithContext(d.t.Context(), http.MethodPost, "http://meshd/meshway.catalog.v1.Catalog/"+procedure, bytes.NewBufferString(body))
	require.NoError(d.t, err)
	request.Header.Set("Content-Type", "application/json")
	return d.do(request)
}

func (d *door) do(request *http.Request) (int, map[string]any) {
	d.t.Helper()
	response, err := d.http.Do(request)
	require.NoError(d.t, err)
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	require.NoError(d.t, err)
	var answer map[string]any
	require.NoError(d.t, json.Unmarshal(text, &answer), string(text))
	return response.StatusCode, answer
}

func write(t testing.TB, m *consensustest.Member, cmd consensustest.Command) uint64 {
	t.Helper()
	cmd.Author = string(m.ID)
	results, err := m.Node.Propose(context.Background(), cmd)
	require.NoError(t, err)
	require.Nil(t, results[0].Refusal)
	return results[0].Index
}

func remove(key consensustest.Key) consensustest.Command {
	return catalog.NewDeleteServices([]catalog.ServiceKey{{
		Datacenter: key.Owner.Datacenter(), Namespace: "test", Name: key.Name, Instance: "one",
	}})
}

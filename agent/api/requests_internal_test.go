package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/agent/api/access"
	"github.com/meshway/meshway/agent/api/apipb"
	"github.com/meshway/meshway/agent/api/apipb/apipbconnect"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/catalogpb"
)

// counting is a registrar that counts the writes.
type counting struct {
	Registrar

	writes uint64
}

func (c *counting) Register(context.Context, catalog.Service) (uint64, bool, error) {
	c.writes++
	return c.writes, false, nil
}

func (c *counting) Deregister(context.Context, string, string, string) (int, bool, error) {
	c.writes++
	return 1, false, nil
}

func (*counting) Instance(s catalog.Service) (catalog.Service, bool) { return s, false }

// programs returns a client of each program, by its name; empty: one without a token. All
// use the same handler.
func programs(t *testing.T, registrar Registrar, names ...string) map[string]apipbconnect.CatalogClient {
	t.Helper()
	text := ""
	token := func(name string) string { return name + "-0123456789abcdef0123456789abcdef" }
	for _, name := range names {
		text += fmt.Sprintf("%s write %s\n", name, token(name))
	}
	file := filepath.Join(t.TempDir(), "tokens")
	require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
	_, handler := New(Config{Registrar: func() (Registrar, error) { return registrar, nil }})
	clients := map[string]apipbconnect.CatalogClient{"": apipbconnect.NewCatalogClient(programClient{handler: handler}, "http://meshd")}
	required := access.NewTokens(file, nil).Require(handler)
	for _, name := range names {
		clients[name] = apipbconnect.NewCatalogClient(programClient{required, token(name)}, "http://meshd")
	}
	return clients
}

// programClient makes the HTTP calls of a program, without a network.
type programClient struct {
	handler http.Handler
	token   string
}

func (c programClient) Do(r *http.Request) (*http.Response, error) {
	if c.token != "" {
		r.Header.Set("Authorization", "Bearer "+c.token)
	}
	answer := httptest.NewRecorder()
	c.handler.ServeHTTP(answer, r)
	return answer.Result(), nil
}

func registerRequest(id, address string) *connect.Request[apipb.RegisterRequest] {
	return connect.NewRequest(&apipb.RegisterRequest{
		RequestId: id, Service: &catalogpb.Service{Name: "web", Instance: "a", Address: address},
	})
}

func TestARequestIDIsOfOneProgram(t *testing.T) {
	registrar := new(counting)
	of := programs(t, registrar, "one", "two")
	order := []string{"one", "two", ""}
	for i, name := range order { // also with the same content
		got, err := of[name].Register(t.Context(), registerRequest("id", "10.0.0.1"))
		require.NoError(t, err)
		assert.EqualValues(t, i+1, got.Msg.GetIndex(), "the result of the write of program %q", name)
	}
	for i, name := range order {
		got, err := of[name].Register(t.Context(), registerRequest("id", "10.0.0.1"))
		require.NoError(t, err)
		assert.EqualValues(t, i+1, got.Msg.GetIndex(), "program %q gets its own result again", name)
	}
	_, err := of["two"].Register(t.Context(), registerRequest("other", "10.0.0.2"))
	require.NoError(t, err)
	_, err = of["one"].Register(t.Context(), registerRequest("other", "10.0.0.3"))
	require.NoError(t, err, "the id of another program is not taken")
}

func TestARequestIDIsOfOneMethodAndContent(t *testing.T) {
	registrar := new(counting)
	of := programs(t, registrar, "one")["one"]
	_, err := of.Register(t.Context(), registerRequest("id", "10.0.0.1"))
	require.NoError(t, err)
	_, content := of.Register(t.Context(), registerRequest("id", "10.0.0.2"))
	_, method := of.Deregister(t.Context(), connect.NewRequest(&apipb.DeregisterRequest{RequestId: "id", Name: "web"}))
	for _, err := range []error{content, method} {
		var e *connect.Error
		require.ErrorAs(t, err, &e)
		assert.Equal(t, connect.CodeInvalidArgument, e.Code())
		detail, err := e.Details()[0].Value()
		require.NoError(t, err)
		refusal, ok := detail.(*catalogpb.Refusal)
		require.True(t, ok)
		assert.Equal(t, CodeRequestReused, refusal.GetCode())
		assert.Equal(t, "request_id", refusal.GetField())
		assert.NotEmpty(t, refusal.GetRemedy())
	}
	assert.EqualValues(t, 1, registrar.writes)
}

func TestTheRequestsOfOneProgramForgetNoResultOfAnother(t *testing.T) {
	for name, outcome := range map[string]error{"done": nil, "failed": errors.New("no leader")} {
		t.Run(name, func(t *testing.T) {
			rs, message := newRequests(time.Now), &apipb.RegisterRequest{}
			writes := 0
			write := func(program, id string, err error) {
				_, _ = once(t.Context(), rs, requestID{program, id}, message, func(context.Context) (*apipb.RegisterResponse, error) {
					writes++
					return &apipb.RegisterResponse{}, err
				})
			}
			write("quiet", "id", nil)
			for i := range 3 * maxRequests {
				write("busy", fmt.Sprint(i), outcome)
			}
			writes = 0
			write("quiet", "id", nil)
			assert.Zero(t, writes, "its result is there")
			kept := 0
			for _, of := range rs.order {
				kept += len(of)
			}
			assert.LessOrEqual(t, kept, maxRequests)
			assert.LessOrEqual(t, len(rs.byID), maxRequests)
		})
	}
}

func TestNothingIsKeptOfAProgramWhoseRequestsAreOld(t *testing.T) {
	now := time.Now()
	rs := newRequests(func() time.Time { return now })
	write := func(program string) {
		_, err := once(t.Context(), rs, requestID{program, "id"}, &apipb.RegisterRequest{}, func(context.Context) (*apipb.RegisterResponse, error) {
			return &apipb.RegisterResponse{}, nil
		})
		require.NoError(t, err)
	}
	for i := range 100 {
		write(fmt.Sprint("program-", i))
	}
	now = now.Add(requestTTL + 1)
	write("last")
	assert.Len(t, rs.order, 1)
	assert.Len(t, rs.byID, 1)
}

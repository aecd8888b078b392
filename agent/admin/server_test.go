package admin_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/agent/admin"
	"github.com/meshway/meshway/agent/admin/adminclient"
	"github.com/meshway/meshway/agent/control/controlpb"
	"github.com/meshway/meshway/agent/control/controlpb/controlpbconnect"
	"github.com/meshway/meshway/agent/rpc"
	"github.com/meshway/meshway/consensus/catalog"
)

var errBusy = errors.New("busy")

func sentinels() rpc.Sentinels {
	return rpc.Sentinels{{Name: "busy", Err: errBusy, Code: connect.CodeUnavailable}}
}

// operator is a handler whose calls return one answer.
type operator struct {
	controlpbconnect.UnimplementedOperatorHandler
	answer error
}

func (o *operator) Version(context.Context, *connect.Request[controlpb.VersionRequest]) (*connect.Response[controlpb.VersionResponse], error) {
	return connect.NewResponse(&controlpb.VersionResponse{Version: "v1"}), o.answer
}

func (o *operator) Leave(_ context.Context, _ *connect.Request[controlpb.LeaveRequest], s *connect.ServerStream[controlpb.Progress]) error {
	if err := s.Send(&controlpb.Progress{Step: "first"}); err != nil {
		return err
	}
	return o.answer
}

// serve runs a server on socket until stop is called or the test ends.
func serve(t testing.TB, socket string, answer error) (stop func()) {
	t.Helper()
	server := admin.NewServer(admin.Config{
		Socket: socket, Handler: &operator{answer: answer}, Sentinels: sentinels(),
	})
	require.NoError(t, server.Listen(t.Context()))
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- server.Run(ctx) }()
	stopped := false
	stop = func() {
		if !stopped {
			stopped = true
			cancel()
			assert.NoError(t, <-done)
		}
	}
	t.Cleanup(stop)
	return stop
}

func version(t testing.TB, socket string) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	_, err := adminclient.Dial(socket).Version(ctx, connect.NewRequest(&controlpb.VersionRequest{}))
	return err
}

func TestSocketIsAccessibleToItsOwnerOnly(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "run", "meshd.sock")
	stop := serve(t, socket, nil)
	require.NoError(t, version(t, socket))
	info, err := os.Stat(socket)
	require.NoError(t, err)
	assert.EqualValues(t, 0o600, info.Mode().Perm())
	info, err = os.Stat(filepath.Dir(socket))
	require.NoError(t, err)
	assert.EqualValues(t, 0o755, info.Mode().Perm())
	stop()
	assert.NoFileExists(t, socket)
}

func TestAnswersOnTheSocketAreNotCompressed(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "meshd.sock")
	serve(t, socket, nil)
	client := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var dialer net.Dialer
		return dialer.DialContext(ctx, "unix", socket)
	}}}
	defer client.CloseIdleConnections()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://meshd"+controlpbconnect.OperatorVersionProcedure, strings.NewReader("{}"))
	require.NoError(t, err)
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Accept-Encoding", "gzip")
	response, err := client.Do(request)
	require.NoError(t, err)
	defer response.Body.Close()
	assert.Equal(t, http.StatusOK, response.StatusCode)
	assert.Empty(t, response.Header.Get("Content-Encoding"))
}

func TestSocketOfADeadMeshdIsReplaced(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "meshd.sock")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: socket})
	require.NoError(t, err)
	l.SetUnlinkOnClose(false)
	require.NoError(t, l.Close())
	serve(t, socket, nil)
	require.NoError(t, version(t, socket))
}

func TestSocketInUseIsLeftAlone(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "meshd.sock")
	serve(t, socket, nil)
	second := admin.NewServer(admin.Config{Socket: socket, Handler: &operator{}})
	err := second.Listen(t.Context())
	require.ErrorContains(t, err, "in use by another meshd")
	require.ErrorContains(t, err, "admin.socket")
	require.NoError(t, version(t, socket), "the first one still serves")
}

func TestFileInThePlaceOfTheSocketIsKept(t *testing.T) {
	path := filepath.Join(t.TempDir(), "precious")
	require.NoError(t, os.WriteFile(path, []byte("precious"), 0o600))
	err := admin.NewServer(admin.Config{Socket: path, Handler: &operator{}}).Run(t.Context())
	require.ErrorContains(t, err, "is not a socket")
	assert.FileExists(t, path)
}

func TestRefusalReachesMeshctlWithItsRemedy(t *testing.T) {
	refusal := &catalog.Refusal{Code: "name-taken", Field: "datacenter", Message: "it is taken", Remedy: "choose another"}
	socket := filepath.Join(t.TempDir(), "meshd.sock")
	serve(t, socket, refusal)
	err := version(t, socket)
	assert.Equal(t, connect.CodeFailedPrecondition, connect.CodeOf(err))
	var got *catalog.Refusal
	require.ErrorAs(t, rpc.FromConnect(err), &got)
	assert.Equal(t, refusal, got)

	stream, err := adminclient.Dial(socket).Leave(t.Context(), connect.NewRequest(&controlpb.LeaveRequest{}))
	require.NoError(t, err)
	assert.True(t, stream.Receive())
	assert.False(t, stream.Receive())
	require.ErrorAs(t, rpc.FromConnect(stream.Err()), &got)
	assert.Equal(t, refusal, got)
	require.NoError(t, stream.Close())
}

func TestSentinelReachesMeshctlWithItsCode(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "meshd.sock")
	serve(t, socket, errBusy)
	err := version(t, socket)
	assert.Equal(t, connect.CodeUnavailable, connect.CodeOf(err))
	require.ErrorIs(t, sentinels().FromConnect(err), errBusy)
}

func TestErrorWithoutMeshdNamesTheSocketAndARemedy(t *testing.T) {
	dir := t.TempDir()
	dead := filepath.Join(dir, "dead.sock")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: dead})
	require.NoError(t, err)
	l.SetUnlinkOnClose(false)
	require.NoError(t, l.Close())
	tests := map[string]string{
		filepath.Join(dir, "none.sock"): "--socket",
		dead:                            "start meshd again",
	}
	for socket, remedy := range tests {
		err := rpc.FromConnect(version(t, socket))
		var unreachable *adminclient.SocketError
		require.ErrorAs(t, err, &unreachable)
		assert.Contains(t, unreachable.Error(), socket)
		assert.Contains(t, unreachable.Remedy(), remedy)
	}
}

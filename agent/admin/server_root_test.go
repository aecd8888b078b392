//go:build linux && root

package admin_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"connectrpc.com/connect"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/agent/admin/adminclient"
	"github.com/meshway/meshway/agent/control/controlpb"
	"github.com/meshway/meshway/agent/rpc"
)

// TestMain calls the socket if the test runs itself as another user.
func TestMain(m *testing.M) {
	if socket := os.Getenv("MESHWAY_TEST_SOCKET"); socket != "" {
		os.Exit(callAsOther(socket))
	}
	os.Exit(m.Run())
}

func callAsOther(socket string) int {
	_, err := adminclient.Dial(socket).Version(context.Background(), connect.NewRequest(&controlpb.VersionRequest{}))
	if err := rpc.FromConnect(err); err != nil {
		_, _ = os.Stdout.WriteString(err.Error())
		return 7
	}
	return 0
}

func TestSocketRefusesOtherUsers(t *testing.T) {
	require.Zero(t, os.Geteuid(), "this test needs root")
	dir, err := os.MkdirTemp("", "meshway-admin")
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, os.RemoveAll(dir)) })
	require.NoError(t, os.Chmod(dir, 0o755))
	socket := filepath.Join(dir, "meshd.sock")
	serve(t, socket, nil)
	require.NoError(t, version(t, socket))

	out, err := asOther(t, dir, socket)
	require.Error(t, err)
	assert.Contains(t, out, "run meshctl as root")

	require.NoError(t, os.Chmod(socket, 0o666)) // another process widened it
	out, err = asOther(t, dir, socket)
	require.Error(t, err, "the server checks the credentials")
	assert.NotEmpty(t, out)
}

// asOther calls the socket as an unprivileged user, with a copy of this program
// that the user can run.
func asOther(t *testing.T, dir, socket string) (string, error) {
	t.Helper()
	self, err := os.ReadFile("/proc/self/exe")
	require.NoError(t, err)
	program := filepath.Join(dir, "caller")
	require.NoError(t, os.WriteFile(program, self, 0o755))
	cmd := exec.CommandContext(t.Context(), program)
	cmd.Env = []string{"MESHWAY_TEST_SOCKET=" + socket}
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	out, err := cmd.CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

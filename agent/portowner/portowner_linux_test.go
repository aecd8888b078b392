package portowner

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestOwnerOfAPortIsFoundInProc(t *testing.T) {
	proc := t.TempDir()
	table := "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n" +
		"   0: 0100007F:1D13 00000000:0000 01 00000000:00000000 00:00000000 00000000     0        0 111 1\n" + // connected
		"   1: 00000000:1D13 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 222 1\n"
	write := func(path, text string) {
		path = filepath.Join(proc, path)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	}
	write("thread-self/net/tcp", table)
	write("77/comm", "nginx\n")
	for link, target := range map[string]string{"11/fd/3": "socket:[333]", "77/fd/5": "socket:[222]"} {
		link = filepath.Join(proc, link)
		require.NoError(t, os.MkdirAll(filepath.Dir(link), 0o755))
		require.NoError(t, os.Symlink(target, link))
	}
	assert.Equal(t, "process 77 (nginx)", of(proc, "tcp", 7443))
	assert.Equal(t, "another process", of(proc, "tcp", 7444))
	write("thread-self/net/udp", table)
	assert.Equal(t, "process 77 (nginx)", of(proc, "udp", 7443))
}

func TestOwnerOfAnOpenPortIsThisProcess(t *testing.T) {
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	require.NoError(t, err)
	defer conn.Close()
	comm, err := os.ReadFile("/proc/self/comm")
	require.NoError(t, err)
	owner := Of("udp", netip.MustParseAddrPort(conn.LocalAddr().String()).Port())
	assert.Equal(t, fmt.Sprintf("process %d (%s)", os.Getpid(), strings.TrimSpace(string(comm))), owner)
}

package host

import (
	"net/netip"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/agent/plan"
)

func TestResolversAndTheAPIServerAreNeeded(t *testing.T) {
	dir := t.TempDir()
	stub, real := filepath.Join(dir, "stub"), filepath.Join(dir, "real")
	require.NoError(t, os.WriteFile(stub, []byte("# comment\nnameserver 127.0.0.53\nsearch example.org\n"), 0o600))
	require.NoError(t, os.WriteFile(real, []byte("nameserver 10.0.0.53\nnameserver fe80::1%eth0\nnameserver 10.0.0.53\nnameserver\nnameserver x\n"), 0o600))
	resolver := func(a string) plan.Need {
		return plan.Need{Address: netip.MustParseAddr(a), Use: "a resolver of the host", Movable: true}
	}
	server := plan.Need{Address: netip.MustParseAddr("10.0.0.6"), Use: "the API server", Movable: true}

	assert.Equal(t, []plan.Need{server, resolver("10.0.0.53"), resolver("fe80::1")},
		needed([]netip.Addr{server.Address}, stub, real, filepath.Join(dir, "missing")))
	assert.Empty(t, needed(nil))
}

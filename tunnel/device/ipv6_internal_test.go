package device

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestIPv6IsSwitchedOnForALaneWhateverTheHostHas(t *testing.T) {
	for _, c := range []struct{ all, lane, want string }{{"0", "1", "0"}, {"0", "0", "0"}, {"1", "1", "0"}} {
		root := t.TempDir()
		for device, value := range map[string]string{"all": c.all, "mesh0": c.lane} {
			require.NoError(t, os.MkdirAll(filepath.Join(root, device), 0o700))
			require.NoError(t, os.WriteFile(filepath.Join(root, device, "disable_ipv6"), []byte(value+"\n"), 0o600))
		}
		enableIPv6(root, "mesh0")
		got, err := os.ReadFile(filepath.Join(root, "mesh0", "disable_ipv6"))
		require.NoError(t, err)
		assert.Equal(t, c.want, string(got[:1]), c)
	}
	enableIPv6(filepath.Join(t.TempDir(), "missing"), "mesh0")
}

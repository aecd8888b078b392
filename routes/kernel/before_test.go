package kernel_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/routes/kernel"
)

// savedSettings are settings that Meshway has changed.
type savedSettings []kernel.SavedSysctl

func (s savedSettings) Load() ([]kernel.SavedSysctl, bool, error) { return s, len(s) > 0, nil }
func (savedSettings) Save([]kernel.SavedSysctl) error             { return nil }
func (savedSettings) Remove() error                               { return nil }

func TestSettingBeforeMeshwayIsTheSavedOneOrThePresentOne(t *testing.T) {
	root := t.TempDir()
	require.NoError(t, os.MkdirAll(filepath.Join(root, "net/ipv4"), 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(root, "net/ipv4/ip_forward"), []byte("1\n"), 0o600))
	for want, saved := range map[string]savedSettings{"1": nil, "0": {{Key: "net/ipv4/ip_forward", Before: "0", Ours: "1"}}} {
		k := kernel.New(kernel.Options{SysctlRoot: root, Sysctls: saved})
		got, err := k.SysctlBefore("net/ipv4/ip_forward")
		require.NoError(t, err)
		assert.Equal(t, want, got)
	}
	_, err := kernel.New(kernel.Options{SysctlRoot: root}).SysctlBefore("net/ipv4/none")
	require.ErrorIs(t, err, os.ErrNotExist)
}

//go:build linux

package nft_test

import (
	"os/exec"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/routes"
	"github.com/meshway/meshway/routes/nft"
)

func TestApplyNamesThePackageWhenNftIsMissing(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	err := nft.New().Apply(t.Context(), routes.Firewall{})
	require.ErrorIs(t, err, exec.ErrNotFound)
	require.ErrorContains(t, err, "apt install nftables")
}

func TestCheckReportsThatNftIsMissing(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	require.ErrorIs(t, nft.Check(t.Context()), exec.ErrNotFound)
}

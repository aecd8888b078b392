package deploy_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/meshway/meshway/agent/config"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestExamplesAreValidAndDoNotOverlap(t *testing.T) {
	files, err := filepath.Glob("examples/*.yaml")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	owners := map[catalog.Prefix]catalog.DatacenterName{}
	for _, file := range files {
		cfg, err := config.Parse(strings.NewReader(read(t, file)), file, config.Env{Hostname: "gw1"})
		require.NoError(t, err)
		for _, prefix := range cfg.Prefixes {
			for other, owner := range owners {
				assert.False(t, owner == cfg.Datacenter || prefix.CIDR.Overlaps(other.CIDR), "%s of %s overlaps %s of %s", prefix.CIDR, file, other.CIDR, owner)
			}
		}
		for _, prefix := range cfg.Prefixes {
			owners[prefix] = cfg.Datacenter
		}
	}
}

func TestUnitStopsOnlyTheAgent(t *testing.T) {
	assert.Contains(t, read(t, "systemd/meshd.service"), "\nKillMode=process\n")
}

// The network starts after network-pre.target, and nftables.service flushes all tables.
func TestUnitOfTheGuardRunsBeforeTheNetworkAndAfterTheRulesOfTheHost(t *testing.T) {
	unit := read(t, "systemd/meshway-guard.service")
	assert.Contains(t, unit, "\nWants=network-pre.target\n")
	assert.Contains(t, unit, "\nBefore=network-pre.target ")
	assert.Regexp(t, `\nAfter=.*\bnftables\.service\n`, unit)
	assert.Contains(t, unit, "\nDefaultDependencies=no\n", "they are after the network")
	assert.Regexp(t, `\nWants=.*\bmeshway-guard\.service\n`, read(t, "systemd/meshd.service"))
}

func read(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	return string(text)
}

package deploy_test

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/agent/config"
)

func TestPageOfPortsHasTheDefaultsOfTheConfiguration(t *testing.T) {
	cfg, err := config.Parse(strings.NewReader(read(t, "examples/east.yaml")), "east.yaml", config.Env{Hostname: "gw1"})
	require.NoError(t, err)
	page := read(t, "docs/ports.md")
	for key, port := range map[string]string{
		"`wireguard.port`":                        fmt.Sprintf("UDP %d + N", cfg.WireGuard.Port),
		"`wireguard.port` + 63":                   fmt.Sprintf("UDP %d", cfg.WireGuard.Port+63),
		"`control.listen`":                        fmt.Sprintf("TCP %d", cfg.Control.Listen.Port()),
		"`liveness.port`":                         fmt.Sprintf("UDP %d", cfg.Liveness.Port),
		"`metrics.listen`; value `metrics.port`":  fmt.Sprintf("TCP %d", cfg.Metrics.Listen.Port()),
		"`catalog.listen`; value `catalog.port`":  "TCP " + chartDefault(t, "catalog.port") + ", off by default",
		"`metrics.listen`; value `metrics.port` ": "TCP " + chartDefault(t, "metrics.port"),
	} {
		row := regexp.MustCompile(`(?m)^\| ` + regexp.QuoteMeta(port) + ` \|.*\| ` + regexp.QuoteMeta(strings.TrimSpace(key)) + ` \|$`)
		assert.Regexp(t, row, page, "the row of %s", key)
	}
	assert.False(t, cfg.Catalog.Listen.IsValid(), "the port of the catalog is off by default")
	assert.Contains(t, page, fmt.Sprintf("udp dport %d-%d accept", cfg.WireGuard.Port, cfg.WireGuard.Port+3))
	assert.Contains(t, page, fmt.Sprintf("udp dport { %d-%d, %d } accept", cfg.WireGuard.Port, cfg.WireGuard.Port+3, cfg.WireGuard.Port+63))
	assert.Contains(t, page, fmt.Sprintf("tcp dport %d accept", cfg.Control.Listen.Port()))
}

// chartDefault returns the default of a value of the chart.
func chartDefault(t *testing.T, path string) string {
	t.Helper()
	for _, v := range valuesOf(t, read(t, "chart/meshway/values.yaml")) {
		if v.path == path {
			return v.fallback
		}
	}
	require.Fail(t, "the chart has no value "+path)
	return ""
}

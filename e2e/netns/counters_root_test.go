//go:build linux && root

package netns_test

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/e2e/harness"
)

// unencrypted returns the number of packets with a destination in a datacenter
// that have arrived at a router. The first call starts counting.
func unencrypted(t *testing.T, router *harness.Host, to *harness.Datacenter) int {
	t.Helper()
	_, err := router.ExecInput(t.Context(), fmt.Sprintf(`table inet seen {
	counter unencrypted { }
	chain count {
		type filter hook prerouting priority -400
	}
}
flush chain inet seen count
add rule inet seen count ip daddr %s counter name unencrypted
add rule inet seen count ip6 daddr %s counter name unencrypted
`, to.Pods, to.Pods6), "nft", "-f", "-")
	require.NoError(t, err)
	return packets(t, router, "seen", "unencrypted")
}

// packets returns the value of a counter of nft.
func packets(t *testing.T, host *harness.Host, table, counter string) int {
	t.Helper()
	out, err := host.Exec(t.Context(), "nft", "-j", "list", "counter", "inet", table, counter)
	require.NoError(t, err)
	var listing struct {
		Nftables []struct{ Counter struct{ Packets int } }
	}
	require.NoError(t, json.Unmarshal([]byte(out), &listing))
	n := 0
	for _, entry := range listing.Nftables {
		n += entry.Counter.Packets
	}
	return n
}

//go:build linux && root

package netns_test

import (
	"context"
	"errors"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/meshway/meshway/e2e/harness"
	"github.com/stretchr/testify/require"
)

// kernelState returns all kernel state of a host that Meshway may change, in
// the output format of ip, nft and sysctl.
func kernelState(t *testing.T, host *harness.Host) string {
	t.Helper()
	var state strings.Builder
	for _, command := range []string{
		"ip -br link",
		"ip -br address",
		"ip -4 -N rule",
		"ip -6 -N rule",
		"ip -4 -N route show table all",
		"ip -6 -N route show table all",
		"ip -N nexthop",
		"nft -s list ruleset",
		"sysctl net.ipv4.ip_forward net.ipv6.conf.all.forwarding net.ipv4.conf.all.rp_filter net.ipv4.conf.default.rp_filter net.ipv4.fib_multipath_hash_policy net.ipv6.fib_multipath_hash_policy",
	} {
		var out string
		eventually(t, timeout, "the check of an agent that has just started is over", func(ctx context.Context) (err error) {
			out, err = host.Exec(ctx, strings.Fields(command)...)
			if strings.Contains(out, "table inet meshway {\n}") {
				err = errors.New("nft lists the table that the kernel discards at the end of the check")
			}
			return err
		})
		// The kernel generates a new link-local address whenever a TUN
		// interface comes up, and lists routes in the order of addresses.
		lines := strings.SplitAfter(linkLocal.ReplaceAllString(out, "fe80::*"), "\n")
		if strings.Contains(command, "route") {
			slices.Sort(lines)
		}
		state.WriteString("# " + command + "\n" + strings.Join(lines, ""))
	}
	return state.String()
}

var linkLocal = regexp.MustCompile(`fe80::[0-9a-f:]+`)

// addForeignState adds routes, rules, nexthops and tables that do not belong to
// Meshway but are similar to its own.
func addForeignState(t *testing.T, host *harness.Host) {
	t.Helper()
	run(t, host,
		"ip route add 192.168.77.0/24 dev lo table 7117 proto static",
		"ip route add 192.168.78.0/24 dev lo proto 157", // Meshway's protocol in another table
		"ip rule add from 192.168.79.0/24 lookup main priority 5400",
		"ip nexthop add id 77 dev lo",
		"nft add table inet foreign",
		"nft add chain inet foreign c",
	)
}

func run(t *testing.T, host *harness.Host, commands ...string) {
	t.Helper()
	for _, command := range commands {
		_, err := host.Exec(t.Context(), strings.Fields(command)...)
		require.NoError(t, err)
	}
}

//go:build linux && root

package netns_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/e2e/harness"
	"github.com/stretchr/testify/require"
)

// TestRulesOfOthersThatDropTrafficAreReportedUntilTheyAreGone adds rules as other
// programs do, and runs the commands of the remedies.
func TestRulesOfOthersThatDropTrafficAreReportedUntilTheyAreGone(t *testing.T) {
	topology := newFederation(t, "east", "west")
	east, west := topology.Datacenters[0], topology.Datacenters[1]
	for _, c := range []struct {
		name     string
		drop     []string
		remedies []string // of the status, which are run
	}{
		{
			name:     "policy of the chain FORWARD, as Docker and ufw leave it",
			drop:     []string{"nft add table ip filter", "nft add chain ip filter FORWARD { type filter hook forward priority 0; policy drop; }"},
			remedies: []string{"iptables -I FORWARD -o mesh+ -j ACCEPT", "iptables -I FORWARD -i mesh+ -j ACCEPT"},
		},
		{
			name: "rule of a chain to which another one jumps",
			drop: []string{
				"nft add table inet fw", "nft add chain inet fw forward { type filter hook forward priority 0; }", "nft add chain inet fw deny",
				"nft add rule inet fw deny ip daddr 10.12.0.0/16 drop", "nft add rule inet fw forward meta l4proto tcp jump deny",
			},
			remedies: []string{`nft insert rule inet fw forward 'oifname "mesh*" accept'`},
		},
		{
			name: "port of the tunnels",
			drop: []string{
				"nft add table inet fw", "nft add chain inet fw in { type filter hook input priority 0; }", "nft add rule inet fw in udp dport 51820 drop",
			},
			remedies: []string{"nft insert rule inet fw in 'udp dport { 51820 } accept'"},
		},
		{
			name: "policy of output",
			drop: []string{
				"nft add table inet fw", "nft add chain inet fw out { type filter hook output priority 0; policy drop; }", "nft insert rule inet fw out oifname lo accept",
			},
			remedies: []string{"nft insert rule inet fw out 'udp sport { 51820 } accept'", `nft insert rule inet fw out 'oifname "mesh*" accept'`},
		},
		{
			name: "the mark of packets of the underlay",
			drop: []string{
				"nft add table inet fw", "nft add chain inet fw in { type filter hook input priority 0; }", "nft add rule inet fw in meta mark 0x20 drop",
				"nft add chain inet fw out { type filter hook output priority 0; }", "nft add rule inet fw out meta mark & 0xff == 0x20 drop",
			},
			remedies: []string{"nft insert rule inet fw in 'udp dport { 51820 } accept'", "nft insert rule inet fw out 'udp sport { 51820 } accept'"},
		},
		{
			name: "a protocol that no rule lets pass",
			drop: []string{
				"nft add table inet fw", "nft add chain inet fw through { type filter hook forward priority 0; policy drop; }",
				"nft add rule inet fw through meta l4proto { tcp, udp } accept",
			},
			remedies: []string{`nft insert rule inet fw through 'oifname "mesh*" accept'`, `nft insert rule inet fw through 'iifname "mesh*" accept'`},
		},
		{
			name: "services of a datacenter",
			drop: []string{
				"nft add table inet fw", "nft add chain inet fw through { type filter hook forward priority 0; }", "nft add rule inet fw through ip daddr 10.22.0.0/16 drop",
			},
			remedies: []string{`nft insert rule inet fw through 'oifname "mesh*" accept'`},
		},
		{
			name: "a set with a timeout",
			drop: []string{
				"nft add table inet fw", "nft add set inet fw banned { type ipv4_addr; flags timeout; }", "nft add chain inet fw in { type filter hook input priority 0; }",
				"nft add rule inet fw in ip saddr @banned drop", "nft add element inet fw banned { 198.51.100.2 timeout 1h }",
			},
			remedies: []string{"nft insert rule inet fw in 'udp dport { 51820 } accept'"},
		},
		{
			name: "a type of devices that a policy drop does not let pass",
			drop: []string{
				"nft add table inet fw", "nft add chain inet fw through { type filter hook forward priority 0; policy drop; }", "nft add rule inet fw through meta iiftype ether accept",
			},
			remedies: []string{`nft insert rule inet fw through 'oifname "mesh*" accept'`, `nft insert rule inet fw through 'iifname "mesh*" accept'`},
		},
		{
			name: "packets of this host",
			drop: []string{
				"nft add table inet fw", "nft add chain inet fw out { type filter hook output priority 0; }", "nft add rule inet fw out ip daddr 10.12.0.0/16 drop",
			},
			remedies: []string{`nft insert rule inet fw out 'oifname "mesh*" accept'`},
		},
		{
			name: "set of ipset and a match that nft does not print",
			drop: []string{
				"nft add table ip filter", "iptables -N blocked", "ipset create west hash:net", "ipset add west 10.12.0.0/16",
				"iptables -A blocked -m set --match-set west dst -j DROP", "iptables -A FORWARD -j blocked",
				"iptables -A INPUT -p udp --dport 51820 -m hashlimit --hashlimit-above 10000/sec --hashlimit-name x -j DROP",
			},
			remedies: []string{"iptables -I FORWARD -o mesh+ -j ACCEPT", "iptables -I INPUT -p udp -m multiport --dports 51820 -j ACCEPT"},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			run(t, east.Gateway, c.drop...)
			for _, remedy := range c.remedies {
				awaitRemedy(t, east, "traffic-filtered", remedy)
			}
			for _, remedy := range c.remedies {
				_, err := east.Gateway.Exec(t.Context(), "sh", "-c", remedy)
				require.NoError(t, err)
			}
			awaitResolved(t, east, "traffic-filtered")
			requireTraffic(t, east, west)
			run(t, east.Gateway, "nft flush table "+tableOf(c.drop), "nft delete table "+tableOf(c.drop))
			requireTraffic(t, east, west)
		})
	}
}

// tableOf returns the table that commands of nft add.
func tableOf(commands []string) string { return commands[0][len("nft add table "):] }

// TestIPsecAndSettingsOfDevicesThatDropPacketsAreReported has policies for a part of the pods
// of west, one that is for all without a policy, and a device to pods that forwards nothing.
func TestIPsecAndSettingsOfDevicesThatDropPacketsAreReported(t *testing.T) {
	east, west, _ := newGuarded(t)
	pods := "net/ipv4/conf/" + east.Name + "-a/forwarding"
	for _, step := range []struct{ add, code, remedy string }{
		{"ip xfrm policy add src 10.12.0.0/24 dst 10.11.0.0/16 dir fwd action block", "traffic-filtered", "ip xfrm policy delete src 10.12.0.0/24 dst 10.11.0.0/16 dir fwd"},
		{
			"ip xfrm policy add src 10.11.0.0/16 dst 10.12.0.0/16 dir out tmpl src 203.0.113.10 dst 203.0.113.130 proto esp mode tunnel", "traffic-diverted",
			"ip xfrm policy delete src 10.11.0.0/16 dst 10.12.0.0/16 dir out",
		},
		{"ip xfrm policy setdefault in block", "traffic-filtered", "ip xfrm policy setdefault in accept"},
		{"sysctl -w " + pods + "=0", "traffic-filtered", "sysctl -w " + pods + "=1"},
	} {
		run(t, east.Gateway, step.add)
		run(t, east.Gateway, "ip rule add pref 31000 lookup 77", "ip rule del pref 31000") // nothing announces the change
		awaitRemedy(t, east, step.code, step.remedy)
		run(t, east.Gateway, step.remedy)
		run(t, east.Gateway, "ip rule add pref 31000 lookup 77", "ip rule del pref 31000")
		awaitResolved(t, east, step.code)
	}
	requireTraffic(t, east, west)
}

// awaitRemedy waits until the status has a problem with this code and remedy.
func awaitRemedy(t *testing.T, dc *harness.Datacenter, code, remedy string) {
	t.Helper()
	eventually(t, timeout, "the status names the cause", func(ctx context.Context) error {
		snapshot, err := dc.Status(ctx)
		if err == nil && !slices.ContainsFunc(snapshot.Problems, func(p plan.Problem) bool {
			return p.Code == code && strings.Contains(p.Remedy, remedy)
		}) {
			err = fmt.Errorf("no problem has the remedy %q: %+v", remedy, snapshot.Problems)
		}
		return err
	})
}

// awaitResolved waits until the status has no problem with this code.
func awaitResolved(t *testing.T, dc *harness.Datacenter, code string) {
	t.Helper()
	eventually(t, timeout, "the problem is resolved", func(ctx context.Context) error {
		snapshot, err := dc.Status(ctx)
		if err == nil && slices.ContainsFunc(snapshot.Problems, func(p plan.Problem) bool { return p.Code == code }) {
			err = fmt.Errorf("%+v", snapshot.Problems)
		}
		return err
	})
}

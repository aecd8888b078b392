//go:build linux && root

package netns_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/meshway/meshway/e2e/harness"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestPacketsForOtherDatacentersNeverLeaveUnencrypted takes the traffic of pods
// away from Meshway's table, as other programs and operators do.
func TestPacketsForOtherDatacentersNeverLeaveUnencrypted(t *testing.T) {
	east, west, router := newGuarded(t)
	_, err := east.Gateway.ExecInput(t.Context(), fmt.Sprintf(`table inet fastpath {
	counter diverted { }
	chain forward {
		type filter hook forward priority -200
		oifname "router1" ip daddr %s counter name diverted
		oifname "router1" ip6 daddr %s counter name diverted
	}
}`, west.Pods, west.Pods6), "nft", "-f", "-")
	require.NoError(t, err)
	for _, c := range []struct {
		name     string
		take     []string
		giveBack []string
		remedies []string // in the status
	}{
		{
			name:     "a rule that precedes ours",
			take:     []string{"ip rule add pref 100 lookup main", "ip -6 rule add pref 100 lookup main"},
			giveBack: []string{"ip rule del pref 100", "ip -6 rule del pref 100"},
			remedies: []string{"ip rule del pref 100 lookup main", "ip -6 rule del pref 100 lookup main"},
		},
		{
			name:     "a rule for the sources of pods with its own table",
			take:     []string{"ip rule add pref 101 from 10.11.0.0/16 lookup 99", "ip route add default via 203.0.113.1 table 99"},
			giveBack: []string{"ip rule del pref 101", "ip route flush table 99"},
			remedies: []string{"ip rule del pref 101 from 10.11.0.0/16 lookup 99"},
		},
		{
			name:     "a rule that skips ours",
			take:     []string{"ip rule add pref 102 goto 32766"},
			giveBack: []string{"ip rule del pref 102"},
			remedies: []string{"ip rule del pref 102 goto 32766"},
		},
		{
			name:     "a rule that drops",
			take:     []string{"ip rule add pref 103 to 10.12.0.0/16 prohibit", "ip -6 rule add pref 104 to fd00:12::/32 blackhole"},
			giveBack: []string{"ip rule del pref 103", "ip -6 rule del pref 104"},
			remedies: []string{"ip rule del pref 103 to 10.12.0.0/16 prohibit", "ip -6 rule del pref 104 to fd00:12::/32 blackhole"},
		},
		{
			name: "rules to tables that drop",
			take: []string{
				"ip route add blackhole default table 91", "ip rule add pref 116 to 10.12.0.0/16 lookup 91",
				"ip -6 route add unreachable default table 91", "ip -6 rule add pref 116 lookup 91",
			},
			giveBack: []string{"ip rule del pref 116", "ip -6 rule del pref 116", "ip route flush table 91", "ip -6 route flush table 91"},
			remedies: []string{"ip rule del pref 116 to 10.12.0.0/16 lookup 91", "ip -6 rule del pref 116 lookup 91"},
		},
		{
			name: "rules to tables that drop a part of a prefix",
			take: []string{
				"ip route add unreachable 10.12.64.0/18 table 92", "ip rule add pref 117 lookup 92",
				"ip -6 route add prohibit fd00:12:0:64::/64 table 92", "ip -6 rule add pref 117 lookup 92",
				"ip route add throw default table 93", "ip rule add pref 118 lookup 93",
			},
			giveBack: []string{
				"ip rule del pref 117", "ip -6 rule del pref 117", "ip rule del pref 118", "ip route flush table 92", "ip -6 route flush table 92", "ip route flush table 93",
			},
			remedies: []string{"ip rule del pref 117 lookup 92", "ip -6 rule del pref 117 lookup 92"},
		},
		{
			name: "rules to tables that route a part of a prefix",
			take: []string{
				"ip route add 10.12.1.0/24 via 203.0.113.1 table 94", "ip rule add pref 119 lookup 94",
				"ip route add 10.12.0.128/25 via 203.0.113.1 table 95", "ip rule add pref 120 from 10.11.0.0/16 lookup 95",
				"ip -6 route add fd00:12:0:7::/64 via 2001:db8::1 table 94", "ip -6 rule add pref 119 lookup 94",
			},
			giveBack: []string{
				"ip rule del pref 119", "ip -6 rule del pref 119", "ip rule del pref 120", "ip route flush table 94", "ip -6 route flush table 94", "ip route flush table 95",
			},
			remedies: []string{
				"ip route del 10.12.1.0/24 table 94", "ip rule del pref 120 from 10.11.0.0/16 lookup 95", "ip -6 rule del pref 119 lookup 94",
			},
		},
		{
			name:     "a rule that drops the overlay",
			take:     []string{"ip -6 rule add pref 121 unreachable"},
			giveBack: []string{"ip -6 rule del pref 121"},
			remedies: []string{"ip -6 rule del pref 121 unreachable"},
		},
		{
			name: "routes in our table that drop or end the lookup",
			take: []string{
				"ip route add blackhole 10.12.5.0/24 table 7117", "ip route add throw 10.12.6.0/24 table 7117", "ip -6 route add prohibit fd00:12:0:5::/64 table 7117",
			},
			giveBack: []string{
				"ip route del blackhole 10.12.5.0/24 table 7117", "ip route del throw 10.12.6.0/24 table 7117", "ip -6 route del prohibit fd00:12:0:5::/64 table 7117",
			},
			remedies: []string{
				"ip route del blackhole 10.12.5.0/24 table 7117", "ip route del throw 10.12.6.0/24 table 7117", "ip -6 route del prohibit fd00:12:0:5::/64 table 7117",
			},
		},
		{
			name: "rules for some packets only",
			take: []string{
				"ip rule add pref 105 ipproto icmp lookup main", "ip -6 rule add pref 105 ipproto ipv6-icmp lookup main",
				"ip rule add pref 106 ipproto udp dport 4000-4999 lookup main", "ip rule add pref 107 uidrange 1000-1999 lookup main",
				"ip rule add pref 108 tos 0x10 lookup main", "ip rule add pref 109 ipproto tcp sport 22 prohibit",
			},
			giveBack: []string{
				"ip rule del pref 105", "ip -6 rule del pref 105", "ip rule del pref 106", "ip rule del pref 107", "ip rule del pref 108", "ip rule del pref 109",
			},
			remedies: []string{
				"ip rule del pref 105 ipproto icmp lookup main", "ip -6 rule del pref 105 ipproto ipv6-icmp lookup main",
				"ip rule del pref 106 ipproto udp dport 4000-4999 lookup main", "ip rule del pref 107 uidrange 1000-1999 lookup main",
				"ip rule del pref 108 tos 0x10 lookup main", "ip rule del pref 109 ipproto tcp sport 22 prohibit",
			},
		},
		{
			name: "rules for packets that the kernel does not look up",
			take: []string{
				"ip rule add pref 110 ipproto sctp lookup main", "ip -6 rule add pref 110 ipproto gre lookup main",
				"ip rule add pref 111 ipproto esp prohibit", "ip rule add pref 112 tun_id 5 lookup main", "ip rule add pref 113 ipproto udplite goto 32766",
			},
			giveBack: []string{"ip rule del pref 110", "ip -6 rule del pref 110", "ip rule del pref 111", "ip rule del pref 112", "ip rule del pref 113"},
			remedies: []string{
				"ip rule del pref 110 ipproto sctp lookup main", "ip -6 rule del pref 110 ipproto gre lookup main", "ip rule del pref 111 ipproto esp prohibit",
				"ip rule del pref 112 tun_id 5 lookup main", "ip rule del pref 113 ipproto udplite goto 32766",
			},
		},
		{
			name: "rules for what a lane carries",
			take: []string{
				"ip route add default via 203.0.113.1 table 99", "ip -6 route add default via 2001:db8::1 table 99",
				"ip rule add pref 114 iif mesh0 ipproto tcp dport 4712 lookup 99", "ip -6 rule add pref 6000 iif mesh0 ipproto tcp dport 4712 prohibit",
				"ip rule add pref 115 oif mesh0 ipproto tcp prohibit",
			},
			giveBack: []string{
				"ip rule del pref 114", "ip -6 rule del pref 6000", "ip rule del pref 115", "ip route flush table 99", "ip -6 route flush table 99",
			},
			remedies: []string{
				"ip rule del pref 114 iif mesh0 ipproto tcp dport 4712 lookup 99", "ip -6 rule del pref 6000 iif mesh0 ipproto tcp dport 4712 prohibit",
				"ip rule del pref 115 oif mesh0 ipproto tcp prohibit",
			},
		},
		{
			name: "our mark on packets of pods",
			take: []string{
				"nft add table inet marks", "nft add chain inet marks pre { type filter hook prerouting priority -150 ; }",
				"nft add rule inet marks pre meta mark set 0x20",
			},
			giveBack: []string{"nft delete table inet marks"},
			remedies: []string{"run nft delete rule inet marks pre handle 2, or exclude the prefixes of other datacenters from it, or set routing.mark"},
		},
		{
			name: "our mark on packets of the host",
			take: []string{
				"nft add table inet marks", "nft add chain inet marks out { type route hook output priority 400 ; }",
				"nft add rule inet marks out ip daddr 10.12.0.0/16 meta mark set 0x20",
			},
			giveBack: []string{"nft delete table inet marks"},
			remedies: []string{"run nft delete rule inet marks out handle 2, or exclude the prefixes of other datacenters from it, or set routing.mark"},
		},
		{
			name: "marks from maps and connections",
			take: []string{
				"nft add table inet marks", "nft add chain inet marks pre { type filter hook prerouting priority -150 ; }",
				"nft add map inet marks towards { type ipv4_addr : mark ; flags interval ; }", "nft add element inet marks towards { 10.12.0.0/16 : 0x7 }",
				"nft add rule inet marks pre meta mark set ip daddr map @towards", "ip rule add pref 50 fwmark 0x7 blackhole",
				"ip6tables-nft -t mangle -A PREROUTING -j CONNMARK --restore-mark", "ip6tables-nft -t mangle -A FORWARD -d fd00:12::/32 -j CONNMARK --set-mark 0x9",
				"ip -6 rule add pref 52 fwmark 0x9 blackhole",
			},
			giveBack: []string{"nft delete table inet marks", "nft delete table ip6 mangle", "ip rule del pref 50", "ip -6 rule del pref 52"},
			remedies: []string{
				"run ip rule del pref 50 fwmark 0x7/0xffffffff blackhole, or add the rule again with a priority above 5400, or run nft delete rule inet marks pre handle 3",
				"run ip -6 rule del pref 52 fwmark 0x9/0xffffffff blackhole, or add the rule again with a priority above 5400, or run nft delete rule ip6 mangle PREROUTING handle",
			},
		},
		{
			name: "marks for which a rule drops or diverts",
			take: []string{
				"nft add table inet marks", "nft add chain inet marks pre { type filter hook prerouting priority -150 ; }",
				"nft add rule inet marks pre ip daddr 10.12.0.0/16 meta mark set 7", "nft add rule inet marks pre iifname east-a ip6 daddr fd00:12::/32 meta mark set meta mark or 0x100",
				"ip rule add pref 50 fwmark 0x7 blackhole", "ip -6 rule add pref 51 fwmark 0x100/0x100 lookup 99", "ip -6 route add default via 2001:db8::1 table 99",
			},
			giveBack: []string{"nft delete table inet marks", "ip rule del pref 50", "ip -6 rule del pref 51", "ip -6 route flush table 99"},
			remedies: []string{
				"run ip rule del pref 50 fwmark 0x7/0xffffffff blackhole, or add the rule again with a priority above 5400, or run nft delete rule inet marks pre handle 2",
				"run ip -6 rule del pref 51 fwmark 0x100/0x100 lookup 99, or add the rule again with a priority above 5400, or run nft delete rule inet marks pre handle 3",
			},
		},
		{
			name:     "a longer prefix in our table",
			take:     []string{"ip route add 10.12.1.0/24 via 203.0.113.1 table 7117", "ip route add 10.12.2.0/24 via 203.0.113.1 table 7117"},
			giveBack: []string{"ip route del 10.12.1.0/24 table 7117", "ip route del 10.12.2.0/24 table 7117"},
			remedies: []string{"ip route del 10.12.1.0/24 table 7117", "ip route del 10.12.2.0/24 table 7117"},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			run(t, east.Gateway, c.take...)
			before := unencrypted(t, router, west)
			sendToPods(t, east, west)
			assert.Zero(t, unencrypted(t, router, west)-before, "packets for west at the router")
			for _, remedy := range c.remedies {
				awaitRemedy(t, east, "traffic-diverted", remedy)
			}
			run(t, east.Gateway, c.giveBack...)
			requireTraffic(t, east, west)
			awaitResolved(t, east, "traffic-diverted")
		})
	}
	assert.Zero(t, packets(t, east.Gateway, "fastpath", "diverted"), "packets that a flowtable of another program could have offloaded")
}

// TestRulesOfHealthyHostsAreNoProblem has rules for a second uplink, for containers and for
// sockets of other programs, and then one that diverts packets, which is reported.
func TestRulesOfHealthyHostsAreNoProblem(t *testing.T) {
	east, west, _ := newGuarded(t)
	run(t, east.Gateway,
		"ip link add uplink2 type bridge", "ip address add 100.64.77.2/24 dev uplink2", "ip link set uplink2 up",
		"ip link add docker0 type bridge", "ip address add 172.17.0.1/16 dev docker0", "ip link set docker0 up",
		"ip route add default via 100.64.77.1 table 100", "ip rule add pref 100 from 100.64.77.0/24 lookup 100",
		"ip rule add pref 101 iif docker0 lookup main", "ip rule add pref 102 oif uplink2 lookup 100",
		"ip route add 10.99.0.0/16 via 100.64.77.1 table 52", "ip rule add pref 5270 lookup 52",
		"ip rule add pref 110 to 10.12.7.0/24 prohibit")
	awaitRemedy(t, east, "traffic-diverted", "ip rule del pref 110 to 10.12.7.0/24 prohibit")
	snapshot, err := east.Status(t.Context())
	require.NoError(t, err)
	for _, p := range snapshot.Problems {
		if p.Code == "traffic-diverted" {
			assert.Contains(t, p.Remedy, "pref 110")
		}
	}
	run(t, east.Gateway, "ip rule del pref 110")
	awaitResolved(t, east, "traffic-diverted")
	requireTraffic(t, east, west)
}

// TestGuardOutlivesEveryProcess ends what could repair the routes.
func TestGuardOutlivesEveryProcess(t *testing.T) {
	east, west, router := newGuarded(t)
	before := unencrypted(t, router, west)
	east.Agent.Kill()
	killDataplane(t, east)
	sendToPods(t, east, west)
	out, err := east.Gateway.Exec(t.Context(), "ip", "route", "show", "table", "7117", west.Pods.String())
	require.NoError(t, err)
	assert.Contains(t, out, "blackhole", "the prefix has a route without a device")
	for _, step := range []string{"ip route flush table 7117", "ip nexthop flush", "ip rule del lookup 7117"} {
		run(t, east.Gateway, step)
		sendToPods(t, east, west)
	}
	assert.Zero(t, unencrypted(t, router, west)-before, "packets for west at the router")
	run(t, east.Gateway, "nft delete table inet meshway")
	sendToPods(t, east, west)
	assert.NotZero(t, unencrypted(t, router, west)-before, "without the guard they pass the router")
}

// TestABootIsGuardedBeforeTheAgentHasPlanned starts an agent that waits for an API
// server, on a host that has lost everything except its disk.
func TestABootIsGuardedBeforeTheAgentHasPlanned(t *testing.T) {
	east, west, router := newGuarded(t)
	east.Agent.Kill()
	killDataplane(t, east)
	run(t, east.Gateway, "nft delete table inet meshway", "ip rule del lookup 7117", "ip -6 rule del lookup 7117", "ip route flush table 7117", "ip -6 route flush table 7117", "ip nexthop flush")
	before := unencrypted(t, router, west)
	sendToPods(t, east, west)
	require.NotZero(t, unencrypted(t, router, west)-before, "nothing guards the host")

	run(t, east.Gateway, binaries.Meshd+" guard --config "+harness.ConfigFile)
	before = unencrypted(t, router, west)
	sendToPods(t, east, west)
	assert.Zero(t, unencrypted(t, router, west)-before, "meshway-guard.service has run before the network")
	run(t, east.Gateway, "nft delete table inet meshway")

	require.NoError(t, east.Gateway.WriteFile("/run/kubeconfig", []byte(`{apiVersion: v1, kind: Config, current-context: c,
  clusters: [{name: c, cluster: {server: "https://203.0.113.1:1"}}], contexts: [{name: c, context: {cluster: c, user: u}}], users: [{name: u, user: {}}]}`), 0o600))
	require.NoError(t, east.Configure(east.Config("kubernetes: {enabled: true, nodeName: east, kubeconfig: /run/kubeconfig}")))
	_, err := east.Gateway.Start("meshd", binaries.Meshd, "run", "--config", harness.ConfigFile)
	require.NoError(t, err)
	eventually(t, timeout, "the guard stands", func(ctx context.Context) error {
		_, err := east.Gateway.Exec(ctx, "nft", "list", "chain", "inet", "meshway", "guard")
		return err
	})
	before = unencrypted(t, router, west)
	sendToPods(t, east, west)
	assert.Zero(t, unencrypted(t, router, west)-before, "packets for west at the router")
}

// TestPrefixesOfADatacenterThatLeftStayGuarded sends to the pods of a datacenter that is no
// longer a member, before and after a restart of the agent.
func TestPrefixesOfADatacenterThatLeftStayGuarded(t *testing.T) {
	east, west, router := newGuarded(t)
	before := unencrypted(t, router, west)
	meshctl(t, west, "leave", "--yes")
	awaitMembers(t, east, "east")
	eventually(t, timeout, "the tunnel to west is gone", func(ctx context.Context) error {
		out, err := east.Gateway.Exec(ctx, "ip", "route", "show", "table", "7117", west.Pods.String())
		if err == nil && strings.Contains(out, "nhid") {
			err = errors.New(out)
		}
		return err
	})
	sendToPods(t, east, west)
	assert.Zero(t, unencrypted(t, router, west)-before, "packets for west at the router")
	east.Agent.Kill()
	runAgent(t, east)
	awaitMembers(t, east, "east")
	sendToPods(t, east, west)
	assert.Zero(t, unencrypted(t, router, west)-before, "packets for west at the router after a restart")
	meshctl(t, east, "leave", "--yes")
	sendToPods(t, east, west)
	assert.Zero(t, unencrypted(t, router, west)-before, "packets for west at the router after east left, too")
	run(t, east.Gateway, binaries.Meshctl+" leave --release --yes", binaries.Meshd+" guard --config "+harness.ConfigFile)
	sendToPods(t, east, west)
	assert.NotZero(t, unencrypted(t, router, west)-before, "a host that left and was released is as if Meshway had never run")
}

// newGuarded returns a federation of east and west, and the router of east, which
// is the router of east's default routes in both families.
func newGuarded(t *testing.T) (east, west *harness.Datacenter, router *harness.Host) {
	t.Helper()
	topology := newFederation(t, "east", "west")
	east, west, router = topology.Datacenters[0], topology.Datacenters[1], topology.Routers[0]
	require.NoError(t, router.AddAddress("east", netip.MustParsePrefix("2001:db8::1/64")))
	require.NoError(t, east.Gateway.AddAddress("router1", netip.MustParsePrefix("2001:db8::2/64")))
	run(t, east.Gateway, "ip -6 route add default via 2001:db8::1")
	return east, west, router
}

// killDataplane kills the processes of the userspace data plane.
func killDataplane(t *testing.T, dc *harness.Datacenter) {
	t.Helper()
	out, err := dc.Gateway.Exec(t.Context(), "pgrep", "-f", "meshd wireguard") // in the host's own PID namespace
	require.NoError(t, err)
	for _, pid := range strings.Fields(out) {
		run(t, dc.Gateway, "kill -KILL "+pid)
	}
	eventually(t, timeout, "the interface is gone", func(ctx context.Context) error {
		if out, err := dc.Gateway.Exec(ctx, "ip", "link", "show", "mesh0"); err == nil {
			return errors.New(out)
		}
		return nil
	})
}

// sendToPods sends packets of ICMP and UDP to the pods of another datacenter, from a pod
// and from the gateway, without waiting for answers.
func sendToPods(t *testing.T, from, to *harness.Datacenter) {
	t.Helper()
	for _, host := range []*harness.Host{from.Workloads[0].Host, from.Gateway} {
		for _, target := range []fmt.Stringer{to.Workloads[1].Pod, to.Workloads[1].Pod6} {
			_, _ = host.Exec(t.Context(), "ping", "-c", "5", "-i", "0.01", "-W", "0.1", target.String())
			_, _ = host.Exec(t.Context(), "bash", "-c", "for i in 1 2 3; do echo >/dev/udp/"+target.String()+"/4711; done")
		}
	}
}

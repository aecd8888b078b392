//go:build linux && root

package kernel_test

import (
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/meshway/meshway/routes"
	"github.com/meshway/meshway/routes/routestest"
)

// Attributes of rules that ip 6.1 does not know (linux/fib_rules.h).
const (
	fraDSCP          = 25
	fraFlowLabel     = 26
	fraFlowLabelMask = 27
	fraDSCPMask      = 30
)

// addRule adds a rule with attributes that ip does not know.
func (w *world) addRule(family uint8, priority, table uint32, attributes ...*nl.RtAttr) {
	w.t.Helper()
	request := nl.NewNetlinkRequest(unix.RTM_NEWRULE, unix.NLM_F_CREATE|unix.NLM_F_EXCL|unix.NLM_F_ACK)
	header := &nl.RtMsg{}
	header.Family, header.Type = family, unix.FR_ACT_TO_TBL
	request.AddData(header)
	request.AddData(nl.NewRtAttr(unix.FRA_PRIORITY, nl.Uint32Attr(priority)))
	request.AddData(nl.NewRtAttr(unix.FRA_TABLE, nl.Uint32Attr(table)))
	for _, a := range attributes {
		request.AddData(a)
	}
	_, err := request.Execute(unix.NETLINK_ROUTE, 0)
	require.NoError(w.t, err)
}

// TestRulesForAClassAreReadAndLookedUp has rules of Linux 6.13 and newer.
func TestRulesForAClassAreReadAndLookedUp(t *testing.T) {
	w := newWorld(t)
	w.run("sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1", "net.ipv4.conf.mesh1.rp_filter=0")
	for family, base := range map[uint8]routes.Query{
		unix.AF_INET:  {Destination: netip.MustParseAddr("10.99.0.1"), Source: netip.MustParseAddr("10.1.0.2"), In: "mesh1"},
		unix.AF_INET6: {Destination: netip.MustParseAddr("fd00:99::1"), Source: netip.MustParseAddr("fd00:1::2"), In: "mesh1"},
	} {
		w.ip("%s route add default dev mesh0 table 99", map[uint8]string{unix.AF_INET: "-4", unix.AF_INET6: "-6"}[family])
		w.addRule(family, 70, 99, nl.NewRtAttr(fraDSCP, []byte{46}))
		w.addRule(family, 71, 99, nl.NewRtAttr(fraDSCP, []byte{0x20}), nl.NewRtAttr(fraDSCPMask, []byte{0x38}))
		observed, err := w.Observe(t.Context(), routes.DefaultTable)
		require.NoError(t, err)
		var own []routes.ForeignRule
		for _, r := range observed.ForeignRules {
			if r.Family == routes.FamilyOf(base.Destination) {
				own = append(own, r)
			}
		}
		require.Len(t, own, 2)
		assert.Equal(t, "pref 70 dscp 46 lookup 99", own[0].String())
		assert.Equal(t, "pref 71 dscp 0x20/0x38 lookup 99", own[1].String())
		for _, r := range own {
			assert.True(t, r.LookedUp(), r)
			assert.False(t, r.Selects(base), r)
			query := r.Narrow(base, false)
			assert.True(t, r.Selects(query), "%s: %s", r, query)
			assert.Equal(t, 99, lookedUp(t, w, query), "%s: %s", r, query)
		}
		assert.NotEqual(t, 99, lookedUp(t, w, base))
	}
}

// TestLookupsOfBoundSocketsTakeTheRulesForTheirDevice binds to a lane.
func TestLookupsOfBoundSocketsTakeTheRulesForTheirDevice(t *testing.T) {
	w := newWorld(t)
	for family, to := range map[string]string{"-4": "10.99.0.1", "-6": "fd00:99::1"} {
		w.ip("%s route add default dev mesh0 table 99", family)
		w.ip("%s rule add pref 70 oif mesh0 lookup 99", family)
		query := routes.Query{Destination: netip.MustParseAddr(to)}
		assert.NotEqual(t, 99, lookedUp(t, w, query), family)
		query.Out = "mesh0"
		assert.Equal(t, 99, lookedUp(t, w, query), family)
	}
}

// TestTablesOfRulesThatAreNotLookedUpAreRead has rules for protocols of which the kernel
// looks up no packets.
func TestTablesOfRulesThatAreNotLookedUpAreRead(t *testing.T) {
	w := newWorld(t)
	_, err := routestest.Apply(t.Context(), w, routestest.Sample(), true)
	require.NoError(t, err)
	for _, protocol := range []string{"sctp", "dccp", "udplite", "gre", "esp", "ah"} {
		w.ip("rule add pref 70 ipproto %s lookup 99", protocol)
		w.ip("-6 rule add pref 70 ipproto %s lookup 99", protocol)
	}
	w.ip("rule add pref 71 ipproto tcp lookup 98")
	w.ip("route add default via 10.1.0.9 dev mesh0 onlink table 99")
	w.ip("route add throw 10.8.0.0/16 table 99")
	w.ip("-6 route add blackhole fd00:8::/32 table 99")
	observed, err := w.Observe(t.Context(), routes.DefaultTable)
	require.NoError(t, err)
	require.Len(t, observed.ForeignRules, 13)
	for _, r := range observed.ForeignRules {
		assert.Equal(t, r.Priority == 71, r.LookedUp(), r)
		_, err := w.Lookup(t.Context(), r.Narrow(routes.Query{Destination: netip.MustParseAddr(map[routes.Family]string{routes.IPv4: "10.99.0.1", routes.IPv6: "fd00:99::1"}[r.Family])}, false))
		assert.Equal(t, r.LookedUp(), err == nil || r.Priority == 71, "%s: %v", r, err)
	}
	assert.Empty(t, observed.Tables[98], "no route of it drops packets")
	var texts []string
	for _, a := range []string{"10.7.0.1", "10.8.0.1", "fd00:8::1", "fd00:9::1"} {
		r, ok := routes.LookupIn(observed.Tables[99], netip.MustParseAddr(a), 0)
		if ok {
			texts = append(texts, a+": "+r.Text())
		}
	}
	assert.Equal(t, []string{"10.7.0.1: 0.0.0.0/0 via 10.1.0.9", "fd00:8::1: blackhole fd00:8::/32"}, texts)
}

// TestRoutesThatMayConcernUsAreReadFromTheTablesOfRules has routes that drop packets or
// end the lookup, and those to parts of the prefixes of Meshway.
func TestRoutesThatMayConcernUsAreReadFromTheTablesOfRules(t *testing.T) {
	w := newWorld(t)
	for _, line := range []string{
		"rule add pref 70 lookup 97", "-6 rule add pref 70 lookup 97", "rule add pref 71 from 10.1.0.0/16 lookup main",
		"route add default via 10.1.0.9 dev mesh0 onlink table 97", "route add unreachable 10.7.0.0/16 table 97", "route add throw 10.8.0.0/16 table 97",
		"route add 10.2.3.0/24 via 10.1.0.9 dev mesh0 onlink table 97", "route add 10.99.0.0/24 via 10.1.0.9 dev mesh0 onlink table 97",
		"-6 route add prohibit fd00:7::/32 table 97", "-6 route add fd00:2::5/128 dev mesh0 table 97", "-6 route add fd00:99::/64 dev mesh0 table 97", "route add blackhole 10.9.0.0/16",
		"rule add pref 72 ipproto udp lookup 7117",
	} {
		w.ip("%s", line)
	}
	_, err := routestest.Apply(t.Context(), w, routestest.Sample(), true)
	require.NoError(t, err)
	observed, err := w.Observe(t.Context(), routes.DefaultTable)
	require.NoError(t, err)
	prefix, router := netip.MustParsePrefix, netip.MustParseAddr("10.1.0.9")
	assert.Equal(t, map[int][]routes.HostRoute{
		97: {
			{Prefix: prefix("0.0.0.0/0"), Device: "mesh0", Via: router},
			{Prefix: prefix("10.2.3.0/24"), Device: "mesh0", Via: router},
			{Prefix: prefix("10.7.0.0/16"), Drop: "unreachable"},
			{Prefix: prefix("10.8.0.0/16"), Throw: true},
			{Prefix: prefix("fd00:2::5/128"), Device: "mesh0"},
			{Prefix: prefix("fd00:7::/32"), Device: "lo", Drop: "prohibit"},
		},
		254: {{Prefix: prefix("10.9.0.0/16"), Drop: "blackhole"}},
	}, observed.Tables, "without the routes of Meshway, of which some drop packets")
}

// TestRoutesOfOthersInOurTableHaveTheirKind has those that drop packets, end the lookup or
// precede the routes of Meshway.
func TestRoutesOfOthersInOurTableHaveTheirKind(t *testing.T) {
	w := newWorld(t)
	for _, line := range []string{
		"route add blackhole 10.2.5.0/24 table 7117", "route add throw 10.2.6.0/24 table 7117", "route add 10.2.7.0/24 via 10.1.0.9 dev mesh0 onlink metric 9 table 7117",
		"-6 route add unreachable fd00:2::/64 metric 5 table 7117",
	} {
		w.ip("%s", line)
	}
	observed, err := w.Observe(t.Context(), routes.DefaultTable)
	require.NoError(t, err)
	prefix := netip.MustParsePrefix
	assert.Equal(t, []routes.ForeignRoute{
		{Prefix: prefix("10.2.5.0/24"), Protocol: 3, Blocks: true, Drop: "blackhole"},
		{Prefix: prefix("10.2.6.0/24"), Protocol: 3, Blocks: true, Throw: true},
		{Prefix: prefix("10.2.7.0/24"), Protocol: 3, Device: "mesh0", Via: netip.MustParseAddr("10.1.0.9")},
		{Prefix: prefix("fd00:2::/64"), Protocol: 3, Device: "lo", Precedes: true, Drop: "unreachable"},
	}, observed.Foreign)
}

// TestARouteInATableOfAnotherProgramWakes adds one to the table of a rule that is there.
func TestARouteInATableOfAnotherProgramWakes(t *testing.T) {
	w := newWorld(t)
	w.ip("rule add pref 70 lookup 97")
	_, err := routestest.Apply(t.Context(), w, routestest.Sample(), true)
	require.NoError(t, err)
	_, err = w.Observe(t.Context(), routes.DefaultTable)
	require.NoError(t, err)
	wakes := watch(t, w)
	w.ip("route add 10.99.0.0/24 via 10.1.0.9 dev mesh0 onlink table 97")
	w.ip("route add 10.2.9.0/24 via 10.1.0.9 dev mesh0 onlink table 96")
	w.ip("route add 10.2.9.0/24 via 10.1.0.9 dev mesh0 onlink table 97") // the first change that wakes
	select {
	case <-wakes:
		assert.Empty(t, wakes)
	case <-time.After(10 * time.Second):
		t.Error("no wake")
	}
}

// TestLookupsOfMarkedPacketsTakeTheRulesForTheirMark compares the mark under its mask.
func TestLookupsOfMarkedPacketsTakeTheRulesForTheirMark(t *testing.T) {
	w := newWorld(t)
	for family, to := range map[string]string{"-4": "10.99.0.1", "-6": "fd00:99::1"} {
		w.ip("%s route add default dev mesh0 table 99", family)
		w.ip("%s rule add pref 70 fwmark 0x7/0xff lookup 99", family)
		for mark, taken := range map[uint32]bool{0: false, 7: true, 0x107: true, 8: false} {
			query := routes.Query{Destination: netip.MustParseAddr(to), Mark: mark}
			assert.Equal(t, taken, lookedUp(t, w, query) == 99, query)
			observed, err := w.Observe(t.Context(), routes.DefaultTable)
			require.NoError(t, err)
			for _, r := range observed.ForeignRules {
				if r.Family == routes.FamilyOf(query.Destination) {
					assert.Equal(t, taken, r.Selects(query), "%s: %s", r, query)
				}
			}
		}
	}
}

// TestRoutesThatPolicyRulesLeadToAreRead has rules of other programs, and those of Meshway.
func TestRoutesThatPolicyRulesLeadToAreRead(t *testing.T) {
	w := newWorld(t)
	_, err := routestest.Apply(t.Context(), w, routestest.Sample(), true)
	require.NoError(t, err)
	for _, line := range []string{
		"route add 10.99.0.0/24 via 10.1.0.9 dev mesh0 onlink table 97", "route add default via 10.1.0.9 dev mesh0 onlink table 97", "route add blackhole 10.98.0.0/24 table 97",
		"-6 route add fd00:99::/64 dev mesh0 table 97", "route add 10.97.0.0/24 dev mesh0 table 96", "route add 10.96.0.0/24 dev mesh0", "route add 10.95.0.0/24 dev mesh0 table 95",
		"rule add pref 70 lookup 97", "rule add pref 71 from 10.5.0.0/16 lookup 97", "rule add pref 72 fwmark 1 lookup 96", "rule add pref 73 lookup main", "rule add pref 20000 lookup 95",
	} {
		w.ip("%s", line)
	}
	found, err := w.PolicyRoutes(t.Context())
	require.NoError(t, err)
	prefix := netip.MustParsePrefix
	assert.Equal(t, []routes.HostRoute{
		{Prefix: prefix("10.99.0.0/24"), Device: "mesh0", Via: netip.MustParseAddr("10.1.0.9"), Table: 97},
		{Prefix: prefix("fd00:99::/64"), Device: "mesh0", Table: 97},
		{Prefix: prefix("10.95.0.0/24"), Device: "mesh0", Table: 95},
	}, found)
}

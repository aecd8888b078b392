//go:build linux && root

package kernel_test

import (
	"context"
	"errors"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/meshway/meshway/routes"
	"github.com/meshway/meshway/routes/routestest"
)

func TestKernelMeetsTheContract(t *testing.T) {
	routestest.Contract(t, func(t *testing.T) routestest.World { return newWorld(t) })
}

// manyRoutes returns a configuration with n routes to one datacenter over one lane.
func manyRoutes(n int) routes.Config {
	group, lane := routes.GroupID(0, routes.IPv4), routes.LaneNexthopID(0, routes.IPv4)
	c := routes.Config{
		Table: routes.DefaultTable,
		Rules: []routes.Rule{{Family: routes.IPv4, Priority: routes.DefaultRulePriority, Mark: routes.DefaultMark}},
		Nexthops: []routes.Nexthop{
			{ID: routes.BlackholeID(routes.IPv4), Family: routes.IPv4},
			{ID: lane, Family: routes.IPv4, Device: "mesh0"},
		},
		Groups: []routes.Group{{ID: group, Family: routes.IPv4, Members: []uint32{lane}}},
	}
	for i := range n {
		address := netip.AddrFrom4([4]byte{100, byte(i >> 16), byte(i >> 8), byte(i)})
		c.Routes = append(c.Routes, routes.Route{Prefix: netip.PrefixFrom(address, 32), Nexthop: group})
	}
	return c
}

// counting counts the entries that are written.
type counting struct {
	routes.Kernel
	messages int
}

func (c *counting) Apply(ctx context.Context, change routes.Change) error {
	c.messages += change.Len()
	return c.Kernel.Apply(ctx, change)
}

func TestLosingAGatewayWritesOneEntryForTenThousandRoutes(t *testing.T) {
	w := &counting{Kernel: newWorld(t)}
	want := manyRoutes(10_000)
	got, err := routestest.Apply(t.Context(), w, want, true)
	require.NoError(t, err)
	require.Equal(t, want, got.Config)
	w.messages = 0
	want.Groups[0].Members = []uint32{routes.BlackholeID(routes.IPv4)}
	got, err = routestest.Apply(t.Context(), w, want, true)
	require.NoError(t, err)
	assert.Equal(t, 1, w.messages)
	assert.Equal(t, want, got.Config, "all routes still exist")
	found, err := w.Lookup(t.Context(), routes.Query{Destination: want.Routes[9_999].Prefix.Addr()})
	require.NoError(t, err)
	assert.True(t, found.Blackhole)
}

func TestBatchErrorsNameTheirPrefixes(t *testing.T) {
	w := newWorld(t)
	want := manyRoutes(1000)
	bad := []int{0, 255, 256, 700, 999} // the first and last of batches among them
	var good []routes.Route
	for i, r := range want.Routes {
		if slices.Contains(bad, i) {
			w.AddRoute(routes.DefaultTable, r.Prefix, "mesh1", 3)
			continue
		}
		good = append(good, r)
	}
	err := w.Apply(t.Context(), routes.Diff(want, routes.Observed{}, false)) // as if they were added meanwhile
	for _, i := range bad {
		require.ErrorContains(t, err, "add route "+want.Routes[i].Prefix.String()+" ")
	}
	assert.Equal(t, len(bad), strings.Count(err.Error(), "exists"))
	got, err := w.Observe(t.Context(), routes.DefaultTable)
	require.NoError(t, err)
	assert.Equal(t, good, got.Routes)

	w.ip("route flush table %d proto 3", routes.DefaultTable)
	_, err = routestest.Apply(t.Context(), w, routes.Config{Table: routes.DefaultTable}, true)
	require.NoError(t, err)
	err = w.Apply(t.Context(), routes.Change{Table: routes.DefaultTable, Routes: routes.Delta[routes.Route]{Add: want.Routes}})
	require.ErrorContains(t, err, "and 980 more errors")
	require.ErrorContains(t, err, "add route 100.0.0.19/32 ")
}

func TestForeignRulesAreKept(t *testing.T) {
	w := newWorld(t)
	others := []string{
		"rule add not fwmark 0x20/0x20 lookup 7117 priority 5400 protocol 3",
		"rule add not fwmark 0x20/0x20 lookup 7118 priority 5400 protocol 157",
		"rule add iif mesh0 lookup 7117 priority 5400 protocol 157",
		"rule add fwmark 0x20/0x20 lookup 7117 priority 5401 protocol 157",
		"rule add not fwmark 0x20/0x20 iif mesh1 lookup 7117 priority 5402 protocol 157",
		"rule add not from 10.7.0.0/16 fwmark 0x20/0x20 lookup 7117 priority 5403 protocol 157",
	}
	for _, rule := range others {
		w.ip("%s", rule)
	}
	before := w.ip("rule show")
	_, err := routestest.Apply(t.Context(), w, routestest.Sample(), true)
	require.NoError(t, err)
	assert.NotEqual(t, before, w.ip("rule show"))
	_, err = routes.Remove(t.Context(), w, routes.DefaultTable)
	require.NoError(t, err)
	assert.Equal(t, before, w.ip("rule show"))
}

func TestRulesOfOthersAreReadWithWhatTheyDecide(t *testing.T) {
	w := newWorld(t)
	want := []string{
		"pref 70 goto 32766",
		"pref 71 from 10.7.0.0/16 lookup main",
		"pref 72 to 10.8.0.0/16 prohibit",
		"pref 73 iif mesh0 blackhole",
		"pref 74 fwmark 0x1/0xff unreachable",
		"pref 76 tos 0x10 lookup main",
		"pref 77 uidrange 1000-1000 lookup main",
		"pref 78 ipproto tcp dport 443 lookup main",
		"pref 79 not oif mesh0 ipproto sctp sport 5-6 dport 7-65534 prohibit",
		"pref 80 lookup main suppress_prefixlength 0",
		"pref 81 tun_id 5 prohibit",
		"pref 82 l3mdev",
		"pref 83 oif mesh0 ipproto gre lookup 99",
	}
	for _, rule := range append(want, "pref 75 nop") {
		w.ip("rule add %s", rule)
	}
	observed, err := w.Observe(t.Context(), routes.DefaultTable)
	require.NoError(t, err)
	var found []string
	for _, r := range observed.ForeignRules {
		found = append(found, r.String())
	}
	assert.Equal(t, want, found)
	for _, r := range observed.ForeignRules {
		w.ip("rule del %s", r)
	}
}

func TestRulesOfOthersThatHaveUnknownSelectorsAreReadAsSuch(t *testing.T) {
	w := newWorld(t)
	w.ip("rule add pref 71 lookup main suppress_ifgroup default")
	w.addRule(unix.AF_INET6, 72, 99, nl.NewRtAttr(fraFlowLabel, []byte{0, 0, 0, 1}), nl.NewRtAttr(fraFlowLabelMask, []byte{0, 0, 0, 1}))
	observed, err := w.Observe(t.Context(), routes.DefaultTable)
	require.NoError(t, err)
	require.Len(t, observed.ForeignRules, 2)
	for _, r := range observed.ForeignRules {
		assert.True(t, r.More, r)
		assert.False(t, r.LookedUp(), r)
	}
}

// TestLookupsTakeTheRulesForTheirPackets adds rules for some of the packets only.
func TestLookupsTakeTheRulesForTheirPackets(t *testing.T) {
	w := newWorld(t)
	w.run("sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1", "net.ipv4.conf.mesh1.rp_filter=0")
	for _, family := range []string{"-4", "-6"} {
		w.ip("%s route add default dev mesh0 table 99", family)
	}
	const own, forwarded = 1, 2
	for rule, packets := range map[string]int{
		"ipproto tcp dport 443":       own + forwarded,
		"ipproto udp sport 5000-6000": own + forwarded,
		"dport 53":                    own + forwarded,
		"tos 0x10":                    own + forwarded,
		"not ipproto udp":             own + forwarded,
		"ipproto udp":                 own + forwarded,
		"ipproto ICMP":                own + forwarded,
		"not oif mesh0":               own + forwarded,
		"uidrange 1000-1999":          own,
	} {
		for family, base := range map[string]routes.Query{
			"-4": {Destination: netip.MustParseAddr("10.99.0.1"), Source: netip.MustParseAddr("10.1.0.1")},
			"-6": {Destination: netip.MustParseAddr("fd00:99::1"), Source: netip.MustParseAddr("fd00:1::1")},
		} {
			w.ip("%s rule add pref 70 %s lookup 99", family, strings.ReplaceAll(rule, "ICMP", map[string]string{"-4": "icmp", "-6": "ipv6-icmp"}[family]))
			observed, err := w.Observe(t.Context(), routes.DefaultTable)
			require.NoError(t, err)
			require.Len(t, observed.ForeignRules, 1)
			r := observed.ForeignRules[0]
			for _, which := range []int{own, forwarded} {
				if which == forwarded {
					base.In, base.Source = "mesh1", base.Source.Next()
				}
				query := r.Narrow(base, r.Not)
				assert.Equal(t, packets&which != 0, lookedUp(t, w, query) == 99, "%s %s: %s", family, rule, query)
				assert.Equal(t, packets&which != 0, r.Selects(query), "%s %s: %s", family, rule, query)
				assert.Equal(t, r.Selects(base), lookedUp(t, w, base) == 99, "%s %s: %s", family, rule, base)
			}
			w.ip("%s rule del %s", family, r)
		}
	}
}

// lookedUp returns the table of the route of a packet, 0 if there is none.
func lookedUp(t *testing.T, w *world, q routes.Query) int {
	t.Helper()
	found, err := w.Lookup(t.Context(), q)
	if !errors.Is(err, routes.ErrNoRoute) {
		require.NoError(t, err, q)
	}
	return found.Table
}

func TestWatchReportsLinksAddressesAndTheFirewall(t *testing.T) {
	for name, command := range map[string]string{
		"link":     "ip link set mesh1 down",
		"address":  "ip addr del 10.1.0.1/32 dev mesh0",
		"firewall": "nft add table inet other",
		"nexthop":  "ip nexthop del id 0x4d570000",
		"table":    "ip route add 10.77.0.0/16 dev mesh0 table 7117",
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			_, err := routestest.Apply(t.Context(), w, routestest.Sample(), true)
			require.NoError(t, err)
			wakes := watch(t, w)
			w.run("sh", "-c", command)
			select {
			case <-wakes:
			case <-time.After(5 * time.Second):
				t.Error("no wake")
			}
		})
	}
}

func TestWatchIgnoresUnrelatedChanges(t *testing.T) {
	w := newWorld(t)
	_, err := routestest.Apply(t.Context(), w, routestest.Sample(), true)
	require.NoError(t, err)
	wakes := watch(t, w)
	w.ip("link add pod0 type veth peer name pod1")
	w.ip("route add 10.77.0.0/16 dev mesh0 table 7119")
	w.ip("nexthop add id 9 blackhole")
	w.DeleteRule(routes.DefaultTable, routestest.Sample().Rules[0]) // the first change that wakes
	<-wakes
	assert.Empty(t, wakes)
}

// watch watches until the test ends. The returned channel receives the wakes after
// the first.
func watch(t *testing.T, w *world) <-chan struct{} {
	t.Helper()
	wakes := make(chan struct{}, 100)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- w.Watch(ctx, func() { wakes <- struct{}{} }) }()
	t.Cleanup(func() {
		cancel()
		require.NoError(t, <-done, "Watch ends with its context")
	})
	<-wakes
	return wakes
}

// BenchmarkProgram compares three methods to write the same 100 000 routes: one
// message at a time, as most libraries do, in batches, and with ip -batch.
func BenchmarkProgram(b *testing.B) {
	const n = 100_000
	want := manyRoutes(n)
	change := routes.Diff(want, routes.Observed{}, true)
	base := change
	base.Routes.Add = nil
	methods := map[string]func(*world){
		"sequential": func(w *world) {
			one := routes.Change{Table: want.Table}
			for i := range want.Routes {
				one.Routes.Add = want.Routes[i : i+1]
				require.NoError(b, w.Apply(b.Context(), one))
			}
		},
		"batched": func(w *world) {
			require.NoError(b, w.Apply(b.Context(), routes.Change{Table: want.Table, Routes: change.Routes}))
		},
		"ip-batch": func(w *world) {
			commands := routes.Change{Table: want.Table, Routes: change.Routes}.String()
			file := filepath.Join(b.TempDir(), "batch")
			require.NoError(b, os.WriteFile(file, []byte(strings.ReplaceAll(commands, "ip route", "route")), 0o600))
			b.ResetTimer()
			w.ip("-batch %s", file)
		},
	}
	for _, name := range slices.Sorted(maps.Keys(methods)) {
		b.Run(name, func(b *testing.B) {
			for range b.N {
				b.StopTimer()
				w := newWorld(b)
				require.NoError(b, w.Apply(b.Context(), base))
				b.StartTimer()
				methods[name](w)
			}
			b.ReportMetric(float64(n*b.N)/b.Elapsed().Seconds(), "routes/s")
		})
	}
}

// BenchmarkLostGateway changes the group of 100 000 routes into a blackhole and back.
func BenchmarkLostGateway(b *testing.B) {
	w, want := newWorld(b), manyRoutes(100_000)
	want.Sysctls = []routes.Sysctl{{Key: "net/ipv4/nexthop_compat_mode", Value: "0"}}
	require.NoError(b, w.Apply(b.Context(), routes.Diff(want, routes.Observed{}, true)))
	alive, dead := want.Groups[0], want.Groups[0]
	dead.Members = []uint32{routes.BlackholeID(routes.IPv4)}
	b.ResetTimer()
	for range b.N {
		for _, g := range []routes.Group{dead, alive} {
			change := routes.Change{Table: want.Table, Groups: routes.Delta[routes.Group]{Replace: []routes.Group{g}}}
			require.NoError(b, w.Apply(b.Context(), change))
		}
	}
}

// BenchmarkObserve observes 100 000 routes.
func BenchmarkObserve(b *testing.B) {
	w, want := newWorld(b), manyRoutes(100_000)
	require.NoError(b, w.Apply(b.Context(), routes.Diff(want, routes.Observed{}, true)))
	b.ResetTimer()
	for range b.N {
		_, err := w.Observe(b.Context(), want.Table)
		require.NoError(b, err)
	}
}

package plan_test

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/agent/plan/gatewayplan"
	"github.com/meshway/meshway/routes"
	"github.com/meshway/meshway/tunnel"
)

var update = flag.Bool("update", false, "write the golden files")

func TestPlanMatchesGoldens(t *testing.T) {
	cases := map[string]func() plan.Inputs{
		"standalone": func() plan.Inputs { return plan.Inputs{Self: "east/a", Config: settings(), Now: now} },
		"left": func() plan.Inputs {
			return plan.Inputs{Self: "east/a", Config: settings(), Now: now, Synced: plan.Synced{Catalog: true, Host: true}}
		},
		"alone": func() plan.Inputs {
			in := federation()
			in.Catalog.Datacenters, in.Catalog.Gateways = in.Catalog.Datacenters[:1], in.Catalog.Gateways[:1]
			return in
		},
		"starting": federation,
		"running":  running,
		"gateway-lost": func() plan.Inputs {
			in := running()
			fail(&in, "west/a")
			return in
		},
		"datacenter-lost": func() plan.Inputs {
			in := running()
			fail(&in, "west/a", "west/b")
			return in
		},
		"cut-off": func() plan.Inputs {
			in := running()
			fail(&in, "west/a", "west/b", "north/a")
			return in
		},
		"bad-records":  badRecords,
		"witness":      witness,
		"two-gateways": sharing,
		"sibling-takes-over": func() plan.Inputs {
			in := sharing()
			fail(&in, "west/a", "west/b")
			return in
		},
	}
	for name, inputs := range cases {
		t.Run(name, func(t *testing.T) {
			d, problems := gatewayplan.Compute(inputs())
			golden(t, name, d.String()+problemText(problems))
		})
	}
}

func problemText(problems []plan.Problem) string {
	var b strings.Builder
	for _, p := range problems {
		fmt.Fprintf(&b, "%s %s: %s: %s\n    %s\n", p.Severity, p.Code, p.Subject, p.Message, p.Remedy)
	}
	return b.String()
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name+".golden")
	if *update {
		require.NoError(t, os.MkdirAll("testdata", 0o755))
		require.NoError(t, os.WriteFile(path, []byte(got), 0o600))
	}
	want, err := os.ReadFile(path)
	require.NoError(t, err, "run go test -update")
	assert.Equal(t, string(want), got)
}

func TestOrderOfInputsDoesNotMatter(t *testing.T) {
	for _, make := range []func() plan.Inputs{federation, running, badRecords, sharing} {
		want, problems := gatewayplan.Compute(make())
		for seed := range uint64(50) {
			in := make()
			shuffle(rand.New(rand.NewPCG(seed, 1)), &in)
			got, found := gatewayplan.Compute(in)
			require.Equal(t, want, got)
			require.Equal(t, problems, found)
		}
	}
}

// shuffle changes the order of all lists except Endpoints, whose order is a preference.
func shuffle(r *rand.Rand, in *plan.Inputs) {
	c := &in.Catalog
	r.Shuffle(len(c.Datacenters), func(i, j int) { c.Datacenters[i], c.Datacenters[j] = c.Datacenters[j], c.Datacenters[i] })
	r.Shuffle(len(c.Gateways), func(i, j int) { c.Gateways[i], c.Gateways[j] = c.Gateways[j], c.Gateways[i] })
	r.Shuffle(len(c.Observations), func(i, j int) { c.Observations[i], c.Observations[j] = c.Observations[j], c.Observations[i] })
	for _, dc := range c.Datacenters {
		p := dc.Prefixes
		r.Shuffle(len(p), func(i, j int) { p[i], p[j] = p[j], p[i] })
	}
	h, o := in.Host.Addresses, &in.Observed
	r.Shuffle(len(h), func(i, j int) { h[i], h[j] = h[j], h[i] })
	r.Shuffle(len(o.Tunnels), func(i, j int) { o.Tunnels[i], o.Tunnels[j] = o.Tunnels[j], o.Tunnels[i] })
	r.Shuffle(len(o.Sessions), func(i, j int) { o.Sessions[i], o.Sessions[j] = o.Sessions[j], o.Sessions[i] })
}

func TestInputsAreNotChanged(t *testing.T) {
	in := badRecords()
	shuffle(rand.New(rand.NewPCG(7, 7)), &in)
	before := fmt.Sprintf("%#v", in)
	gatewayplan.Compute(in)
	assert.Equal(t, before, fmt.Sprintf("%#v", in))
}

func TestPlanIsStableAfterItIsApplied(t *testing.T) {
	for name, in := range map[string]plan.Inputs{"starting": federation(), "running": running(), "bad records": badRecords()} {
		t.Run(name, func(t *testing.T) {
			first, _ := gatewayplan.Compute(in)
			in.Observed.Tunnels = applied(first, in.Observed.Tunnels...)
			second, _ := gatewayplan.Compute(in)
			require.Len(t, second.Tunnels, len(first.Tunnels))
			for i, c := range second.Tunnels {
				assert.Empty(t, tunnel.Diff(c, in.Observed.Tunnels[i], tunnel.PrivateKey{}).Peers)
			}
		})
	}
}

func TestNothingIsPrunedBeforeInputsSync(t *testing.T) {
	for _, synced := range []plan.Synced{{}, {Catalog: true}, {Host: true}} {
		for _, in := range []plan.Inputs{federation(), {Self: "east/a"}} {
			in.Synced = synced
			d, _ := gatewayplan.Compute(in)
			assert.False(t, d.Prune, "%+v", synced)
		}
	}
}

func TestGatewayMissingFromCatalogChangesNothing(t *testing.T) {
	for name, drop := range map[string]func(*plan.Catalog){
		"gateway":    func(c *plan.Catalog) { c.Gateways = c.Gateways[1:] },
		"datacenter": func(c *plan.Catalog) { c.Datacenters = c.Datacenters[1:] },
	} {
		t.Run(name, func(t *testing.T) {
			in := running()
			drop(&in.Catalog)
			d, problems := gatewayplan.Compute(in)
			assert.True(t, d.Empty())
			assert.False(t, d.Prune)
			require.Len(t, problems, 1)
			assert.Equal(t, "not-in-catalog", problems[0].Code)
		})
	}
}

func TestLostGatewayChangesOnlyItsGroup(t *testing.T) {
	before, _ := gatewayplan.Compute(running())
	in := running()
	fail(&in, "west/a")
	after, _ := gatewayplan.Compute(in)
	assert.Equal(t, before.Routes.Routes, after.Routes.Routes, "no route changes")
	assert.Equal(t, group(t, after, 3, routes.IPv4), []uint32{routes.LaneNexthopID(1, routes.IPv4)})
	assert.Equal(t, group(t, before, 3, routes.IPv4), []uint32{routes.LaneNexthopID(0, routes.IPv4), routes.LaneNexthopID(1, routes.IPv4)})
	assert.Equal(t, group(t, before, 2, routes.IPv6), group(t, after, 2, routes.IPv6))
}

func TestUnreachableDatacenterIsBlackholedAndNotLeaked(t *testing.T) {
	in := running()
	fail(&in, "west/a", "west/b")
	d, _ := gatewayplan.Compute(in)
	assert.Equal(t, []uint32{routes.BlackholeID(routes.IPv4)}, group(t, d, 3, routes.IPv4))
}

func TestRestartedAgentKeepsWorkingTunnels(t *testing.T) {
	handshakes := map[string]struct {
		age       time.Duration
		undecided bool
		carries   bool
	}{
		"no session yet, fresh handshake":    {age: 100 * time.Second, carries: true},
		"young session, fresh handshake":     {age: 100 * time.Second, undecided: true, carries: true},
		"young session, handshake too old":   {age: 200 * time.Second, undecided: true},
		"young session, never any handshake": {undecided: true},
	}
	for name, c := range handshakes {
		t.Run(name, func(t *testing.T) {
			in := running()
			in.Observed.Sessions = nil
			if c.undecided {
				in.Observed.Sessions = []plan.Session{{Gateway: "north/a", Undecided: true}}
			}
			roamed := netip.MustParseAddrPort("198.51.100.9:4242")
			peer := &in.Observed.Tunnels[0].Peers[0] // north/a: key 2 sorts first
			peer.Endpoint = roamed
			if c.age > 0 {
				peer.LastHandshake = now.Add(-c.age)
			}
			d, problems := gatewayplan.Compute(in)
			assert.Equal(t, c.carries, group(t, d, 2, routes.IPv4)[0] == routes.LaneNexthopID(0, routes.IPv4))
			assert.Equal(t, c.carries, !d.Tunnels[0].Peers[0].Endpoint.IsValid(), "as it is")
			assert.Empty(t, problems, "no verdict, no problem")
		})
	}
}

func group(t *testing.T, d plan.Desired, ordinal int, f routes.Family) []uint32 {
	t.Helper()
	for _, g := range d.Routes.Groups {
		if g.ID == routes.GroupID(ordinal, f) {
			return g.Members
		}
	}
	require.Fail(t, "no such group")
	return nil
}

func TestMTUFollowsConfigurationThenUnderlay(t *testing.T) {
	cases := []struct {
		configured, underlay, want int
		problem                    bool
	}{
		{0, 0, 1420, false},
		{0, 1500, 1420, false},
		{0, 9000, 8920, false},
		{0, 1300, 1280, true},
		{0, 1340, 1280, false},
		{1380, 1500, 1380, false},
		{1440, 1500, 1440, false},
		{1441, 1500, 1441, true},
		{1280, 0, 1280, false},
	}
	for _, c := range cases {
		in := running()
		in.Config.WireGuard.MTU, in.Host.UnderlayMTU = c.configured, c.underlay
		d, problems := gatewayplan.Compute(in)
		assert.Equal(t, c.want, d.Tunnels[0].MTU, "%+v", c)
		assert.Equal(t, c.problem, len(problems) == 1 && problems[0].Code == "mtu-too-large", "%+v", c)
	}
}

func TestSourceIsOwnPodOrNodeAddressThenOverlay(t *testing.T) {
	cases := map[string]struct {
		host []netip.Addr
		v4   string
		v6   string
	}{
		"lowest in own prefixes":          {addresses("10.1.0.9", "10.1.0.2", "192.0.2.1"), "10.1.0.2", "fd77::1"},
		"service addresses are no source": {addresses("10.101.0.1"), "invalid IP", "fd77::1"},
		"none":                            {nil, "invalid IP", "fd77::1"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			in := running()
			in.Host.Addresses = c.host
			d, _ := gatewayplan.Compute(in)
			for _, r := range d.Routes.Routes {
				if r.Kind == routes.Guard {
					continue // packets that it matches are dropped
				}
				want := c.v4
				if routes.FamilyOf(r.Prefix.Addr()) == routes.IPv6 {
					want = c.v6
				}
				assert.Equal(t, want, r.Source.String(), "%v", r.Prefix)
			}
		})
	}
}

func TestEveryRemotePrefixHasAGuard(t *testing.T) {
	for name, in := range map[string]plan.Inputs{"running": running(), "two gateways": sharing()} {
		d, _ := gatewayplan.Compute(in)
		var guarded []netip.Prefix
		for _, r := range d.Routes.Routes {
			if r.Kind == routes.Guard {
				guarded = append(guarded, r.Prefix)
			}
		}
		assert.Equal(t, d.Firewall.Remote, guarded, name)
		assert.Equal(t, in.Config.Routing.Mark, d.Firewall.Mark, name)
	}
}

func TestLanesAreConfinedUnlessSwitchedOff(t *testing.T) {
	in := sharing()
	d, _ := gatewayplan.Compute(in)
	assert.Zero(t, d.Firewall.Confine)
	in.Config.Routing.Confine, in.Config.Liveness.Port = true, 3784
	d, _ = gatewayplan.Compute(in)
	assert.Equal(t, routes.Confine{Lanes: []string{"mesh0", "mesh1"}, Address: netip.MustParseAddr("fd77::1"), LivenessPort: 3784}, d.Firewall.Confine)
}

func TestControlPortsOfPeersThatDifferAreExempt(t *testing.T) {
	in := running()
	in.Catalog.Gateways[1].Controls = []string{"192.0.2.9:17443", "[2001:db8::9]:7443"}
	d, _ := gatewayplan.Compute(in)
	assert.Equal(t, []uint16{17443}, d.Firewall.PeerControlPorts)
}

func TestPrefixInsideAnotherOfTheSameDatacenterIsLegal(t *testing.T) {
	in := running()
	in.Catalog.Datacenters[0] = datacenter("east", 1, "10.1.0.0/16", "10.1.3.0/24")
	in.Catalog.Datacenters[1] = datacenter("north", 2, "10.2.7.0/24", "10.2.0.0/16", "10.2.9.0/24")
	d, problems := gatewayplan.Compute(in)
	assert.Empty(t, problems)
	for _, p := range []string{"10.2.0.0/16", "10.2.7.0/24", "10.2.9.0/24"} {
		assert.Contains(t, d.Tunnels[0].Peers[0].AllowedIPs, netip.MustParsePrefix(p))
		assert.True(t, slices.ContainsFunc(d.Routes.Routes, func(r routes.Route) bool { return r.Prefix.String() == p }), p)
	}
	assert.Equal(t, []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16")}, d.Firewall.Local, "nftables accepts no overlaps")
	for _, list := range [][]netip.Prefix{d.Firewall.Remote, d.Firewall.Lanes[0].Sources} {
		assert.Contains(t, list, netip.MustParsePrefix("10.2.0.0/16"))
		assert.NotContains(t, list, netip.MustParsePrefix("10.2.7.0/24"))
		assert.NotContains(t, list, netip.MustParsePrefix("10.2.9.0/24"))
	}
}

package plan_test

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/meshway/meshway/agent/config"
	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/agent/plan/gatewayplan"
	"github.com/meshway/meshway/agent/plan/nodeplan"
	"github.com/meshway/meshway/agent/plan/prefixset"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/routes"
)

// guardedIn returns the ranges that overlap a prefix of those that the firewall guards, and
// of the routes of Meshway's table by their kind.
func guardedIn(prefix string, fw routes.Firewall, c routes.Config) (guarded, dropped, routed []netip.Prefix) {
	p := netip.MustParsePrefix(prefix)
	for _, r := range c.Routes {
		switch {
		case !r.Prefix.Overlaps(p):
		case r.Kind == routes.Guard:
			dropped = append(dropped, r.Prefix)
		case r.Kind != routes.Throw:
			routed = append(routed, r.Prefix)
		}
	}
	return slices.DeleteFunc(slices.Clone(fw.Remote), func(r netip.Prefix) bool { return !r.Overlaps(p) }), dropped, routed
}

func TestWithdrawnPrefixesStayGuardedUnlessTheyAreClaimed(t *testing.T) {
	left := []plan.Withdrawn{{Datacenter: "south", Prefix: catalog.Prefix{CIDR: netip.MustParsePrefix("10.9.0.0/16"), Kind: catalog.PodPrefix}, At: now.Add(-time.Minute)}}
	announce := func(dcs []catalog.Datacenter, i int, prefix string) {
		dcs[i].Prefixes = append(dcs[i].Prefixes, catalog.Prefix{CIDR: netip.MustParsePrefix(prefix), Kind: catalog.PodPrefix})
	}
	const east, west = 0, 2
	for name, c := range map[string]struct {
		edit    func(dcs []catalog.Datacenter, h *plan.Host, cfg *config.Config)
		guarded []string // parts of 10.9.0.0/16
		lacks   string   // what is not guarded in it
	}{
		"nobody announces it":     {guarded: []string{"10.9.0.0/16"}},
		"another one announces":   {edit: func(dcs []catalog.Datacenter, _ *plan.Host, _ *config.Config) { announce(dcs, west, "10.9.0.0/16") }, guarded: []string{"10.9.0.0/16"}},
		"another one has a part":  {edit: func(dcs []catalog.Datacenter, _ *plan.Host, _ *config.Config) { announce(dcs, west, "10.9.128.0/17") }, guarded: []string{"10.9.0.0/17", "10.9.128.0/17"}},
		"the own datacenter does": {edit: func(dcs []catalog.Datacenter, _ *plan.Host, _ *config.Config) { announce(dcs, east, "10.9.0.0/16") }, lacks: "10.9.0.0/16"},
		"the own one has a part":  {edit: func(dcs []catalog.Datacenter, _ *plan.Host, _ *config.Config) { announce(dcs, east, "10.9.0.0/17") }, guarded: []string{"10.9.128.0/17"}, lacks: "10.9.0.0/17"},
		"the host has its route": {edit: func(_ []catalog.Datacenter, h *plan.Host, _ *config.Config) {
			h.Routes = append(h.Routes, via("10.9.0.0/16", "192.168.50.2"))
		}, lacks: "10.9.0.0/16"},
		"the host has a narrower route": {edit: func(_ []catalog.Datacenter, h *plan.Host, _ *config.Config) {
			h.Routes = append(h.Routes, via("10.9.0.0/17", "192.168.50.2"))
		}, guarded: []string{"10.9.128.0/17"}, lacks: "10.9.0.0/17"},
		"it was not accepted": {edit: func(_ []catalog.Datacenter, _ *plan.Host, cfg *config.Config) {
			cfg.Routing.Accept = map[catalog.DatacenterName][]netip.Prefix{"south": prefixes("172.16.0.0/16")}
		}, lacks: "10.9.0.0/16"},
	} {
		t.Run(name, func(t *testing.T) {
			in, node := running(), nodeInputs()
			in.Withdrawn, node.Withdrawn = left, left
			records := slices.Clone(in.Catalog.Datacenters)
			if c.edit != nil {
				c.edit(records, &in.Host, &in.Config)
				c.edit(slices.Clone(records), &node.Host, &node.Config)
			}
			in.Catalog.Datacenters = records
			for i, dc := range records {
				node.Inventory.Members[i].Prefixes = dc.Prefixes
			}
			d, problems := gatewayplan.Compute(in)
			n, nodeProblems := nodeplan.Compute(node)
			for _, p := range slices.Concat(problems, nodeProblems) {
				assert.NotContains(t, p.Subject, "south", "a problem of a datacenter that left")
			}
			for host, of := range map[string]struct {
				fw routes.Firewall
				c  routes.Config
			}{"gateway": {d.Firewall, d.Routes}, "node": {n.Firewall, n.Routes}} {
				guarded, dropped, _ := guardedIn("10.9.0.0/16", of.fw, of.c)
				for _, want := range c.guarded {
					assert.True(t, prefixset.CoveredBy(guarded, netip.MustParsePrefix(want)), "%s: the firewall guards %s: %v", host, want, guarded)
					assert.True(t, prefixset.CoveredBy(dropped, netip.MustParsePrefix(want)), "%s: the routes drop %s: %v", host, want, dropped)
				}
				if c.lacks != "" {
					guarded, dropped, _ = guardedIn(c.lacks, of.fw, of.c)
					assert.Empty(t, guarded, "%s: the firewall", host)
					assert.Empty(t, dropped, "%s: the routes", host)
				}
			}
		})
	}
}

func TestWithdrawnPrefixesAreNotRouted(t *testing.T) {
	in, node := running(), nodeInputs()
	before, _ := gatewayplan.Compute(in)
	left := []plan.Withdrawn{
		{Datacenter: "south", Prefix: catalog.Prefix{CIDR: netip.MustParsePrefix("10.9.0.0/16"), Kind: catalog.PodPrefix}},
		{Datacenter: "south", Prefix: catalog.Prefix{CIDR: netip.MustParsePrefix("fd00:9::/48"), Kind: catalog.PodPrefix}},
	}
	in.Withdrawn, node.Withdrawn = left, left
	d, _ := gatewayplan.Compute(in)
	n, _ := nodeplan.Compute(node)
	for _, p := range left {
		for _, c := range []routes.Config{d.Routes, n.Routes} {
			_, dropped, routed := guardedIn(p.Prefix.CIDR.String(), d.Firewall, c)
			assert.Equal(t, []netip.Prefix{p.Prefix.CIDR}, dropped)
			assert.Empty(t, routed)
		}
	}
	assert.Equal(t, before.Tunnels, d.Tunnels)
	for i, l := range before.Firewall.Lanes {
		assert.Equal(t, l.Sources, d.Firewall.Lanes[i].Sources, "no lane accepts a packet of it")
	}
	assert.Equal(t, before.Registration, d.Registration)
}

func TestAHostThatLeftGuardsWhatItDoesNotReachOtherwise(t *testing.T) {
	of := func(dc catalog.DatacenterName, kind catalog.PrefixKind, cidrs string) (out []plan.Withdrawn) {
		for _, p := range prefixes(cidrs) {
			out = append(out, plan.Withdrawn{Datacenter: dc, Prefix: catalog.Prefix{CIDR: p, Kind: kind}, At: now})
		}
		return out
	}
	in := running()
	in.Host.Routes = append(in.Host.Routes, via("10.9.0.0/17", "192.168.50.2"))
	in.Host.Needed = append(in.Host.Needed, plan.Need{Address: netip.MustParseAddr("10.9.128.6"), Use: "the API server", Movable: true})
	in.Config.Routing.Yield = prefixes("10.9.0.0/17 10.9.128.6/32")
	in.Host.Links = append(in.Host.Links, plan.Link{Device: "eth7", Prefixes: prefixes("198.51.100.0/24")})
	in.Site.Prefixes = []catalog.Prefix{{CIDR: netip.MustParsePrefix("10.8.0.0/17"), Kind: catalog.PodPrefix}}
	left := plan.Left{ControlPorts: []uint16{7444}, Prefixes: slices.Concat(
		of("south", catalog.PodPrefix, "10.9.0.0/16 10.8.0.0/16 fd00:9::/48"),
		of("west", catalog.NodePrefix, "198.51.100.7/32 203.0.113.77/32"),
	)}
	fw := gatewayplan.LeftFirewall(in.Config, in.Host, in.Site, left)
	assert.Equal(t, prefixes("10.8.128.0/17 203.0.113.77/32 fd00:9::/48"), slices.DeleteFunc(slices.Clone(fw.Remote), netip.MustParsePrefix("10.9.0.0/16").Overlaps))
	assert.Empty(t, prefixset.Subtract(prefixes("10.9.128.0/17"), prefixset.Union(fw.Remote, prefixes("10.9.128.6/32"))))
	assert.False(t, prefixset.Covers(fw.Remote, netip.MustParsePrefix("10.9.128.6/32")), "the API server")
	assert.Equal(t, in.Config.Routing.Mark, fw.Mark, "the datacenter can join again")
	assert.Equal(t, []uint16{7444}, fw.PeerControlPorts)
	fw.Remote, fw.Mark, fw.PeerControlPorts, fw.ControlPort = nil, 0, nil, 0
	assert.Zero(t, fw, "nothing but the guard")
}

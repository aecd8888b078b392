package plan_test

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/agent/plan/gatewayplan"
	"github.com/meshway/meshway/agent/plan/nodeplan"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/allowlist"
	"github.com/meshway/meshway/consensus/catalog/quota"
)

// announcing returns inputs of a gateway and of a node in which west also announces prefixes.
func announcing(list ...netip.Prefix) (plan.Inputs, plan.NodeInputs) {
	in, node := running(), nodeInputs()
	var more []catalog.Prefix
	for _, p := range list {
		more = append(more, catalog.Prefix{CIDR: p, Kind: catalog.NodePrefix})
	}
	in.Catalog.Datacenters[2].Prefixes = append(in.Catalog.Datacenters[2].Prefixes, more...)
	node.Inventory.Members[2].Prefixes = append(node.Inventory.Members[2].Prefixes, more...)
	return in, node
}

func codes(list []plan.Problem, code string) (of []plan.Problem) {
	for _, p := range list {
		if p.Code == code {
			of = append(of, p)
		}
	}
	return of
}

// A hostile leader writes into the record of its own datacenter what the others would refuse.
func TestPrefixesThatNoHonestLeaderAcceptsAreNotRouted(t *testing.T) {
	for _, c := range []struct {
		prefix string
		routed bool
	}{
		{"16.0.0.0/4", false},
		{"32.0.0.0/7", false},
		{"11.0.0.0/8", true},
		{"2000::/3", false},
		{"fc00::/15", false},
		{"fc00::/16", true},
	} {
		t.Run(c.prefix, func(t *testing.T) {
			p := netip.MustParsePrefix(c.prefix)
			require.Equal(t, c.routed, allowlist.CheckAllowable([]netip.Prefix{p}) == nil, "the limit of the catalog")
			in, node := announcing(p)
			desired, problems := gatewayplan.Compute(in)
			ofNode, nodeProblems := nodeplan.Compute(node)
			_, _, routed := guardedIn(c.prefix, desired.Firewall, desired.Routes)
			_, _, routedByNode := guardedIn(c.prefix, ofNode.Firewall, ofNode.Routes)
			for _, r := range [][]netip.Prefix{routed, routedByNode} {
				assert.Equal(t, c.routed, slices.Contains(r, p), "%v", r)
			}
			for _, list := range [][]plan.Problem{problems, nodeProblems} {
				found := codes(list, "prefix-too-large")
				if c.routed {
					assert.Empty(t, found)
					continue
				}
				require.Len(t, found, 1)
				assert.Equal(t, plan.Error, found[0].Severity)
				assert.Equal(t, "datacenter west", found[0].Subject)
			}
		})
	}
}

// It announces the prefix for a moment.
func TestPrefixThatWasNotRoutedIsNotGuardedWhenItIsWithdrawn(t *testing.T) {
	in := running()
	in.Withdrawn = []plan.Withdrawn{{Datacenter: "south", Prefix: catalog.Prefix{CIDR: netip.MustParsePrefix("16.0.0.0/4"), Kind: catalog.NodePrefix}, At: now.Add(-time.Minute)}}
	desired, _ := gatewayplan.Compute(in)
	guarded, dropped, _ := guardedIn("16.0.0.0/4", desired.Firewall, desired.Routes)
	assert.Empty(t, guarded)
	assert.Empty(t, dropped)
}

func TestPrefixesBeyondTheLimitOfTheCatalogAreNotRouted(t *testing.T) {
	most := quota.DefaultLimits().Prefixes
	var list []netip.Prefix
	for a := netip.MustParseAddr("10.200.0.0"); len(list) < most; a = a.Next() {
		list = append(list, netip.PrefixFrom(a, 32))
	}
	in, _ := announcing(list...) // and has two more
	desired, problems := gatewayplan.Compute(in)
	_, _, routed := guardedIn("10.200.0.0/16", desired.Firewall, desired.Routes)
	assert.Contains(t, routed, list[most-3])
	assert.Contains(t, routed, list[0])
	found := codes(problems, "prefix-limit")
	require.Len(t, found, 1)
	assert.Equal(t, plan.Error, found[0].Severity)
	assert.Contains(t, found[0].Message, "2 prefixes of datacenter west are not used")
	assert.NotContains(t, routed, list[most-1])
	_, _, first := guardedIn("10.3.0.0/16", desired.Firewall, desired.Routes)
	assert.NotEmpty(t, first, "the first by address stay")
}

package interference_test

import (
	"net/netip"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/routes"
)

// TestPoliciesOfIPsecThatTakeOrDropPacketsAreReported has policies for packets of Meshway, a
// part of them, or others.
func TestPoliciesOfIPsecThatTakeOrDropPacketsAreReported(t *testing.T) {
	policy := func(direction, source, destination string, change func(*routes.IPsecPolicy)) routes.IPsecPolicy {
		p := routes.IPsecPolicy{Direction: direction, Source: netip.MustParsePrefix(source), Destination: netip.MustParsePrefix(destination)}
		change(&p)
		return p
	}
	block, encapsulate := func(p *routes.IPsecPolicy) { p.Block = true }, func(p *routes.IPsecPolicy) { p.Encapsulate = true }
	port := func(n uint16) func(*routes.IPsecPolicy) {
		return func(p *routes.IPsecPolicy) { p.Block, p.Protocol, p.ToPort = true, 17, n }
	}
	for name, c := range map[string]struct {
		policies []routes.IPsecPolicy
		message  string // of the only problem; empty: there is none
		remedy   string
	}{
		"a block": {
			[]routes.IPsecPolicy{policy("fwd", "10.1.0.0/16", "10.3.7.0/24", block)},
			`drops packets of pods to other datacenters`, "run ip xfrm policy delete src 10.1.0.0/16 dst 10.3.7.0/24 dir fwd, or",
		},
		"what another tunnel takes": {
			[]routes.IPsecPolicy{policy("out", "10.1.0.0/16", "10.3.0.0/16", encapsulate)},
			"takes packets of pods to other datacenters and packets of this host to other datacenters from Meshway's tunnels", "dir out",
		},
		"what has to come by another tunnel": {
			[]routes.IPsecPolicy{policy("fwd", "10.3.0.0/16", "10.1.0.0/16", encapsulate)},
			"drops packets of other datacenters to pods, because they do not come by IPsec", "dir fwd",
		},
		"tunnels by IPsec": {[]routes.IPsecPolicy{policy("out", "10.1.0.1/32", "198.51.100.2/32", encapsulate), policy("in", "198.51.100.2/32", "10.1.0.1/32", encapsulate)}, "", ""},
		"tunnels":          {[]routes.IPsecPolicy{policy("out", "0.0.0.0/0", "198.51.100.2/32", block)}, "drops WireGuard packets to other gateways", "dst 198.51.100.2/32"},
		"ports of tunnels": {[]routes.IPsecPolicy{policy("in", "0.0.0.0/0", "10.1.0.1/32", port(51820))}, "drops WireGuard packets of other gateways", "proto udp dport 51820"},
		"other ports":      {[]routes.IPsecPolicy{policy("in", "0.0.0.0/0", "10.1.0.1/32", port(500))}, "", ""},
		"others":           {[]routes.IPsecPolicy{policy("fwd", "10.1.0.0/16", "10.4.0.0/16", block), policy("fwd", "fd00::/8", "fd00::/8", block)}, "", ""},
		"some packets":     {[]routes.IPsecPolicy{policy("fwd", "0.0.0.0/0", "0.0.0.0/0", func(p *routes.IPsecPolicy) { p.Block, p.Partial = true, true })}, "", ""},
		"after one that lets them pass": {
			[]routes.IPsecPolicy{
				policy("fwd", "0.0.0.0/0", "0.0.0.0/0", func(p *routes.IPsecPolicy) { p.Block, p.Priority = true, 2 }),
				policy("fwd", "0.0.0.0/0", "0.0.0.0/0", func(p *routes.IPsecPolicy) { p.Priority = 1 }),
			}, "", "",
		},
		"the default": {
			[]routes.IPsecPolicy{{Direction: "fwd", Default: true, Block: true}},
			"drops packets of pods to other datacenters and packets of other datacenters to pods", "run ip xfrm policy setdefault fwd accept, or",
		},
		"the default after a policy": {
			[]routes.IPsecPolicy{{Direction: "fwd", Default: true, Block: true}, policy("fwd", "0.0.0.0/0", "0.0.0.0/0", func(*routes.IPsecPolicy) {})}, "", "",
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := filters()
			f.Observed.Policies = c.policies
			problems := f.IPsec()
			if c.message == "" {
				assert.Empty(t, problems)
				return
			}
			require.Len(t, problems, 1)
			assert.Equal(t, plan.Error, problems[0].Severity)
			assert.Contains(t, problems[0].Message, c.message)
			assert.Contains(t, problems[0].Remedy, c.remedy)
		})
	}
}

func TestDevicesToPodsThatForwardNothingAreReported(t *testing.T) {
	p := diversionPaths()
	p.Host.NotForwarding = []string{"cni0", "docker0"}
	problems := p.NotForwarded()
	require.Len(t, problems, 1)
	assert.Contains(t, problems[0].Message, "net.ipv4.conf.cni0.forwarding is 0")
	assert.Equal(t, "run sysctl -w net/ipv4/conf/cni0/forwarding=1, and correct what sets it to 0 at boot", problems[0].Remedy)
}

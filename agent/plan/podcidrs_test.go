package plan_test

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/agent/plan/gatewayplan"
	"github.com/meshway/meshway/agent/plan/nodeplan"
	"github.com/meshway/meshway/routes"
)

func prefixes(text string) []netip.Prefix {
	var out []netip.Prefix
	for _, word := range strings.Fields(text) {
		out = append(out, netip.MustParsePrefix(word))
	}
	return out
}

// mainTable parses lines of ip route show.
func mainTable(lines ...string) []routes.HostRoute {
	var out []routes.HostRoute
	for _, line := range lines {
		words := strings.Fields(line)
		r := routes.HostRoute{}
		if words[0] == "blackhole" || words[0] == "unreachable" {
			r.Drop, words = words[0], words[1:]
		}
		if !strings.Contains(words[0], "/") {
			words[0] += "/32"
		}
		r.Prefix = netip.MustParsePrefix(words[0])
		for i, word := range words[:max(0, len(words)-1)] {
			switch word {
			case "via":
				r.Via = netip.MustParseAddr(words[i+1])
			case "dev":
				r.Device = words[i+1]
			}
		}
		out = append(out, r)
	}
	return out
}

// The main tables are those that CNI plugins create on node 192.0.2.9 of a
// cluster whose pods are in 10.1.0.0/16.
func TestLocalPodsAreFoundInTheRoutesOfTheCNIPlugin(t *testing.T) {
	for name, c := range map[string]struct {
		overlays  string
		addresses string
		table     []string
		want      string
	}{
		"a bridge": {
			table: []string{"10.1.9.0/24 dev cni0", "10.1.8.0/24 via 192.0.2.8 dev eth0", "192.0.2.0/24 dev eth0"},
			want:  "10.1.9.0/24",
		},
		"flannel": {
			overlays: "flannel.1",
			table:    []string{"10.1.8.0/24 via 10.1.8.0 dev flannel.1", "10.1.9.0/24 dev cni0"},
			want:     "10.1.9.0/24",
		},
		"blocks of Calico, and an address borrowed from another node's": {
			overlays: "vxlan.calico",
			table: []string{
				"blackhole 10.1.171.64/26", "10.1.171.65 dev cali1", "10.1.171.70 dev cali2", "10.1.3.7 dev cali3",
				"10.1.3.0/26 via 10.1.3.0 dev vxlan.calico", "10.1.4.0/26 via 192.0.2.4 dev eth0", "172.17.0.0/16 dev docker0",
			},
			want: "10.1.3.7/32 10.1.171.64/26",
		},
		"Cilium": {
			addresses: "10.1.5.14",
			table:     []string{"10.1.5.0/24 via 10.1.5.14 dev cilium_host", "10.1.6.0/24 via 10.1.5.14 dev cilium_host", "10.1.5.14 dev cilium_host"},
			want:      "10.1.5.0/24",
		},
		"a route for each pod, with addresses of the network of the hosts": {
			addresses: "10.1.64.9",
			table: []string{
				"0.0.0.0/0 via 10.1.64.1 dev ens5", "10.1.64.0/19 dev ens5", "10.1.70.3 dev eni1", "10.1.70.4 dev eni2",
				"169.254.169.254 dev ens5",
			},
			want: "10.1.70.3/32 10.1.70.4/32",
		},
		"one bridge across all hosts":   {table: []string{"10.1.0.0/16 dev weave"}},
		"drops of the whole range":      {table: []string{"unreachable 10.1.0.0/16", "blackhole 10.0.0.0/8"}},
		"services and other networks":   {table: []string{"10.101.0.0/24 dev kube-ipvs0", "10.3.0.0/24 dev br0"}},
		"only the networks of the host": {table: []string{"0.0.0.0/0 via 192.0.2.254 dev eth0", "192.0.2.0/24 dev eth0"}},
	} {
		t.Run(name, func(t *testing.T) {
			in := nodeInputs()
			in.Host.Underlay, in.Host.Overlays = []string{"eth0"}, strings.Fields(c.overlays)
			in.Host.Addresses = append(in.Host.Addresses, addresses(strings.Fields(c.addresses)...)...)
			in.Host.Routes = mainTable(c.table...)
			d, _ := nodeplan.Compute(in)
			assert.Equal(t, prefixes(c.want), d.Pods)
		})
	}
}

// Each case is a report of node n1. If podCIDRs is set, the API assigns it to
// the node.
func TestReportedPodCIDRsAreUsedOnlyIfTheClusterDoesNotAssignThem(t *testing.T) {
	bridge, calico := mainTable("10.1.9.0/24 dev cni0"), mainTable("blackhole 10.1.200.0/26")
	for name, c := range map[string]struct {
		reported, podCIDRs string // of the node
		here               []routes.HostRoute
		ours               string // Node.spec.podCIDRs of the gateway
		want               string
		problems           string
	}{
		"Kubernetes assigns the addresses":                             {podCIDRs: "10.1.1.0/24", here: bridge, ours: "10.1.9.0/24", want: "10.1.1.0/24"},
		"Kubernetes assigns the addresses and the node reports others": {reported: "10.1.2.0/24", podCIDRs: "10.1.1.0/24", here: bridge, ours: "10.1.9.0/24", want: "10.1.1.0/24"},
		"the gateway has no pods":                                      {reported: "10.1.2.0/24", podCIDRs: "10.1.1.0/24", ours: "10.1.9.0/24", want: "10.1.1.0/24"},
		"the CNI plugin assigns others":                                {reported: "10.1.201.0/26", podCIDRs: "10.1.1.0/24", here: calico, ours: "10.1.9.0/24", want: "10.1.201.0/26"},
		"the node has not reported them yet":                           {podCIDRs: "10.1.1.0/24", here: calico, ours: "10.1.9.0/24", want: "10.1.1.0/24"},
		"the API has none":                                             {reported: "10.1.201.0/26 10.1.7.7/32", want: "10.1.7.7/32 10.1.201.0/26"},
		"neither the API nor the node has them":                        {problems: "node-pods-unknown"},
		"a range of another datacenter":                                {reported: "10.3.0.0/24", problems: "node-pods-refused node-pods-unknown"},
		"a range of services":                                          {reported: "10.101.0.0/24", problems: "node-pods-refused node-pods-unknown"},
		"the range of all pods":                                        {reported: "10.1.0.0/16", problems: "node-pods-refused node-pods-unknown"},
		"a range of another node":                                      {reported: "10.1.202.0/26 10.1.203.0/26", want: "10.1.203.0/26", problems: "node-pods-refused"},
		"a range of the gateway":                                       {reported: "10.1.200.0/28 10.1.203.0/26", here: calico, want: "10.1.203.0/26", problems: "node-pods-refused"},
		"a range that contains the address of a host":                  {reported: "10.1.64.0/19 10.1.203.0/26", want: "10.1.203.0/26", problems: "node-pods-refused"},
		"a part of a range of another node":                            {reported: "10.1.202.7/32", want: "10.1.202.7/32"},
		"the kubelet sets a range of another node":                     {podCIDRs: "10.1.202.0/26 10.1.203.0/26", want: "10.1.203.0/26", problems: "node-pods-refused"},
		"the kubelet sets a range of the gateway":                      {podCIDRs: "10.1.200.0/28", here: calico, problems: "node-pods-refused node-pods-unknown"},
		"a range that is not in canonical form":                        {reported: "10.1.203.9/26", problems: "node-pods-refused node-pods-unknown"},
	} {
		t.Run(name, func(t *testing.T) {
			in := running()
			in.Host.Routes, in.Site.Nodes.PodCIDRs = c.here, prefixes(c.ours)
			in.Site.Nodes.Peers = []plan.NodePeer{
				{
					Name: "n1", PublicKey: [32]byte{21}, Port: 51820, Addresses: addresses("198.51.100.1"),
					PodCIDRs: prefixes(c.podCIDRs), ReportedPodCIDRs: prefixes(c.reported),
				},
				{Name: "n2", PublicKey: [32]byte{22}, Port: 51820, Addresses: addresses("10.1.64.2"), ReportedPodCIDRs: prefixes("10.1.202.0/26")},
			}
			d, problems := gatewayplan.Compute(in)
			var allowed []netip.Prefix
			for _, p := range d.Tunnels[len(d.Tunnels)-1].Peers {
				for _, a := range p.AllowedIPs {
					if p.PublicKey[0] == 21 && a != netip.MustParsePrefix("198.51.100.1/32") && a.Addr().Is4() && a.Addr().As4()[0] < 240 { // the end of the tunnel
						allowed = append(allowed, a)
					}
				}
			}
			assert.Equal(t, prefixes(c.want), allowed)
			var codes []string
			for _, p := range problems {
				if p.Subject == "node n1" {
					codes = append(codes, p.Code)
				}
			}
			assert.Equal(t, strings.Fields(c.problems), append([]string{}, codes...), problemText(problems))
		})
	}
}

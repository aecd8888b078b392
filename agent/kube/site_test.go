package kube

import (
	"errors"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"

	"github.com/meshway/meshway/agent/config"
	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/consensus/catalog"
)

func cidrs(list ...string) []netip.Prefix {
	var out []netip.Prefix
	for _, s := range list {
		out = append(out, netip.MustParsePrefix(s))
	}
	return out
}

func TestAggregateReturnsTheFewestPrefixes(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"", ""},
		{"10.1.0.0/24", "10.1.0.0/24"},
		{"10.1.1.0/24 10.1.0.0/24", "10.1.0.0/23"},
		{"10.1.1.0/24 10.1.2.0/24", "10.1.1.0/24 10.1.2.0/24"},
		{"10.1.3.0/24 10.1.0.0/24 10.1.2.0/24 10.1.1.0/24", "10.1.0.0/22"},
		{"10.1.0.0/16 10.1.7.0/24 10.1.7.0/24", "10.1.0.0/16"},
		{"0.0.0.0/1 128.0.0.0/1", "0.0.0.0/0"},
		{"fd00:1::/64 10.1.0.0/24 fd00:1:0:1::/64", "10.1.0.0/24 fd00:1::/63"},
		{"192.0.2.4/32 192.0.2.5/32 192.0.2.7/32", "192.0.2.4/31 192.0.2.7/32"},
	} {
		assert.Equal(t, cidrs(strings.Fields(c.want)...), Aggregate(cidrs(strings.Fields(c.in)...)), c.in)
	}
}

func TestAggregateCoversTheSameAddressesOnce(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for range 200 {
		var in []netip.Prefix
		for range r.IntN(40) {
			addr := netip.AddrFrom4([4]byte{10, 0, 0, byte(r.IntN(256))})
			in = append(in, netip.PrefixFrom(addr, 26+r.IntN(7)).Masked())
		}
		out := Aggregate(in)
		for host := range 256 {
			addr := netip.AddrFrom4([4]byte{10, 0, 0, byte(host)})
			covers := func(list []netip.Prefix) (n int) {
				for _, p := range list {
					if p.Contains(addr) {
						n++
					}
				}
				return n
			}
			if min(1, covers(in)) != covers(out) {
				require.Fail(t, "covers other addresses", "%v: %v becomes %v", addr, in, out)
			}
		}
		require.Equal(t, out, Aggregate(out))
	}
}

func siteText(s plan.Site) string {
	var words []string
	for _, p := range s.Prefixes {
		words = append(words, string(p.Kind)+" "+p.CIDR.String())
	}
	for _, p := range s.Problems {
		words = append(words, p.Code)
	}
	return strings.Join(words, ", ")
}

func TestSitePrefersTheConfigurationThenTheClusterThenKubeadm(t *testing.T) {
	nodes := []Node{
		{Name: "a", PodCIDRs: cidrs("10.1.0.0/24", "fd00:1::/64"), Addresses: []netip.Addr{netip.MustParseAddr("192.0.2.1")}},
		{Name: "b", PodCIDRs: cidrs("10.1.1.0/24"), Addresses: []netip.Addr{netip.MustParseAddr("192.0.2.2")}},
	}
	kubeadm := ranges{pods: cidrs("10.1.0.0/16"), services: cidrs("10.96.0.0/12")}
	for name, c := range map[string]struct {
		cfg     config.Kubernetes
		static  []catalog.Prefix
		cluster cluster
		want    string
	}{
		"all found": {
			cluster: cluster{nodes: nodes, services: cidrs("10.101.0.0/16"), kubeadm: kubeadm},
			want:    "pod 10.1.0.0/16, service 10.101.0.0/16, pod fd00:1::/64",
		},
		"no ServiceCIDR API": {
			cluster: cluster{nodes: nodes, kubeadm: kubeadm}, want: "pod 10.1.0.0/16, service 10.96.0.0/12, pod fd00:1::/64",
		},
		"no ranges of kubeadm": {
			cluster: cluster{nodes: nodes, services: cidrs("10.101.0.0/16")},
			want:    "pod 10.1.0.0/23, service 10.101.0.0/16, pod fd00:1::/64",
		},
		"pod range of kubeadm is outdated": {
			cluster: cluster{nodes: nodes, kubeadm: ranges{pods: cidrs("10.244.0.0/16"), services: cidrs("10.96.0.0/12")}},
			want:    "pod 10.1.0.0/23, service 10.96.0.0/12, pod fd00:1::/64",
		},
		"the CNI plugin assigns no ranges to nodes": {
			cluster: cluster{nodes: []Node{{Name: "a"}}, kubeadm: kubeadm}, want: "pod 10.1.0.0/16, service 10.96.0.0/12",
		},
		"configured": {
			cfg:     config.Kubernetes{PodCIDRs: cidrs("10.9.0.0/16"), ServiceCIDRs: cidrs("10.10.0.0/16")},
			cluster: cluster{nodes: nodes, kubeadm: kubeadm}, want: "pod 10.9.0.0/16, service 10.10.0.0/16",
		},
		"nodes announced": {
			cfg: config.Kubernetes{AnnounceNodes: true}, cluster: cluster{nodes: nodes, kubeadm: kubeadm},
			want: "pod 10.1.0.0/16, service 10.96.0.0/12, node 192.0.2.1/32, node 192.0.2.2/32, pod fd00:1::/64",
		},
		"with static prefixes, each CIDR once": {
			static: []catalog.Prefix{
				{CIDR: netip.MustParsePrefix("10.1.0.0/16"), Kind: catalog.PodPrefix}, {CIDR: netip.MustParsePrefix("10.50.0.0/16"), Kind: catalog.NodePrefix},
			},
			cluster: cluster{nodes: nodes, kubeadm: kubeadm},
			want:    "pod 10.1.0.0/16, node 10.50.0.0/16, service 10.96.0.0/12, pod fd00:1::/64",
		},
		"nothing is found": {
			cluster: cluster{refused: []error{errors.New("nodes is forbidden")}}, want: "pod-cidrs-unknown, service-cidrs-unknown",
		},
	} {
		t.Run(name, func(t *testing.T) {
			site := siteOf(c.cfg, c.static, c.cluster)
			assert.True(t, site.Known)
			assert.Equal(t, c.want, siteText(site))
			for _, p := range site.Problems {
				assert.Contains(t, p.Message, "nodes is forbidden", "contains the reason")
				assert.Contains(t, p.Remedy, "set kubernetes.")
			}
		})
	}
}

func TestExternalAddressesOfTheOwnNodeComeFirst(t *testing.T) {
	node := apiNode("one", "10.1.0.0/24", "192.0.2.1")
	node.Status.Addresses = append(node.Status.Addresses, corev1.NodeAddress{Type: corev1.NodeExternalIP, Address: "198.51.100.1"},
		corev1.NodeAddress{Type: corev1.NodeExternalIP, Address: "2001:db8::1"}, corev1.NodeAddress{Type: corev1.NodeExternalDNS, Address: "one.example"})
	nodes := []Node{nodeOf(node, config.DefaultGatewayLabel), nodeOf(apiNode("two", "10.1.1.0/24", "192.0.2.2"), config.DefaultGatewayLabel)}
	site := siteOf(settings(), nil, cluster{nodes: nodes})
	assert.Equal(t, []netip.Addr{
		netip.MustParseAddr("198.51.100.1"), netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("192.0.2.1"),
	}, site.Addresses)
	assert.Empty(t, siteOf(config.Kubernetes{NodeName: "three"}, nil, cluster{nodes: nodes}).Addresses)
}

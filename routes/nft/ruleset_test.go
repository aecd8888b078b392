//go:build linux

package nft_test

import (
	"flag"
	"net/netip"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"sigs.k8s.io/knftables"

	"github.com/meshway/meshway/routes"
	"github.com/meshway/meshway/routes/nft"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func prefixes(texts ...string) []netip.Prefix {
	list := make([]netip.Prefix, len(texts))
	for i, text := range texts {
		list[i] = netip.MustParsePrefix(text)
	}
	return list
}

func firewalls() map[string]routes.Firewall {
	return map[string]routes.Firewall{
		"empty": {},
		"node": {
			Local: prefixes("10.1.0.0/16"), Remote: prefixes("10.2.0.0/16", "fd00:2::/48"), TrustedDevices: []string{"eth0"},
			NodePortSNAT: routes.NodePortSNAT{
				Addresses:  []netip.Addr{netip.MustParseAddr("10.1.3.1"), netip.MustParseAddr("fd00:1::1")},
				ClusterIPs: prefixes("10.101.0.0/16", "fd00:101::/112"),
			},
		},
		"two-lanes": {
			Lanes: []routes.Lane{
				{Device: "mesh0", Sources: prefixes("10.2.0.0/16", "10.3.0.0/16", "192.0.2.7/32", "fd00:2::/48")},
				{Device: "mesh1", Sources: prefixes("10.2.0.0/16", "fd00:2::/48")},
			},
			Local: prefixes("10.1.0.0/16", "fd00:1::/48"),
			// One prefix covers another one in the list.
			Remote:      prefixes("10.2.0.0/16", "10.2.3.0/24", "10.3.0.0/16", "192.0.2.7/32", "fd00:2::/48"),
			TunnelPorts: []uint16{51821, 51820, 51820},
			ControlPort: 7443, PeerControlPorts: []uint16{17443}, Mark: routes.DefaultMark,
			Confine: routes.Confine{Lanes: []string{"mesh0", "mesh1"}, Address: netip.MustParseAddr("fd77::1"), LivenessPort: 3784},
		},
		"two-gateways": {
			Lanes: []routes.Lane{{Device: "mesh0", Sources: prefixes("10.2.0.0/16", "fd00:2::/48")}},
			Local: prefixes("10.1.0.0/16", "10.101.0.0/16", "fd00:1::/48"), Remote: prefixes("10.2.0.0/16", "fd00:2::/48"),
			TunnelPorts: []uint16{51820}, ControlPort: 7443, TrustedDevices: []string{"eth0", "flannel.1"},
			Hops: []routes.Hop{
				{Device: "eth0", Address: netip.MustParseAddr("192.0.2.11")},
				{Device: "eth0", Address: netip.MustParseAddr("2001:db8::11")},
			},
			Transit: routes.Transit{Devices: []string{"eth0", "flannel.1"}, Services: prefixes("10.101.0.0/16")},
		},
	}
}

// rendered returns the transaction and the resulting table.
func rendered(t *testing.T, fw routes.Firewall) (string, string) {
	t.Helper()
	fake := knftables.NewFake(knftables.InetFamily, routes.FirewallTable)
	tx := fake.NewTransaction()
	nft.Render(tx, fw, nil)
	require.NoError(t, fake.Run(t.Context(), tx))
	return tx.String(), fake.Dump()
}

func TestRulesetMatchesTheGolden(t *testing.T) {
	for name, fw := range firewalls() {
		t.Run(name, func(t *testing.T) {
			got, _ := rendered(t, fw)
			file := filepath.Join("testdata", name+".nft")
			if *update {
				require.NoError(t, os.WriteFile(file, []byte(got), 0o600))
			}
			want, err := os.ReadFile(file)
			require.NoError(t, err)
			assert.Equal(t, string(want), got)
		})
	}
}

func TestTableIsThatOfTheLastFirewall(t *testing.T) {
	renderings := map[string]func(tx *knftables.Transaction, fw routes.Firewall, found nft.Contents) nft.Contents{
		"replaced": func(tx *knftables.Transaction, fw routes.Firewall, _ nft.Contents) nft.Contents {
			return nft.Render(tx, fw, nil)
		},
		"updated": func(tx *knftables.Transaction, fw routes.Firewall, found nft.Contents) nft.Contents {
			wanted := nft.Render(knftables.NewFake(knftables.InetFamily, routes.FirewallTable).NewTransaction(), fw, nil)
			nft.RenderUpdate(tx, fw, found, wanted)
			return wanted
		},
	}
	for kind, render := range renderings {
		fake := knftables.NewFake(knftables.InetFamily, routes.FirewallTable)
		var found nft.Contents
		for _, name := range []string{"two-lanes", "empty", "two-lanes", "two-gateways", "node"} {
			fw := firewalls()[name]
			tx := fake.NewTransaction()
			found = render(tx, fw, found)
			require.NoError(t, fake.Run(t.Context(), tx))
			_, want := rendered(t, fw)
			assert.Equal(t, want, fake.Dump(), "%s, %s", kind, name)
		}
	}
}

func TestRenderKeepsCounterValues(t *testing.T) {
	fake := knftables.NewFake(knftables.InetFamily, routes.FirewallTable)
	tx := fake.NewTransaction()
	nft.Render(tx, routes.Firewall{}, []routes.Counter{{Name: routes.CounterTunnel, Packets: 3, Bytes: 180}})
	assert.Contains(t, tx.String(), "add counter inet meshway spoofed-in-tunnel { packets 3 bytes 180 ; }")
}

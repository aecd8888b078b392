//go:build linux

package nft

import (
	"context"
	"fmt"
	"net/netip"

	"sigs.k8s.io/knftables"

	"github.com/meshway/meshway/routes"
)

// Check returns why this host cannot have Meshway's table, or nil. nft and the kernel
// check a table with a rule of each kind, and discard it.
func Check(ctx context.Context) error {
	nft, err := knftables.New(knftables.InetFamily, routes.FirewallTable)
	if err != nil {
		return err
	}
	for _, fw := range everyKind() {
		tx := nft.NewTransaction()
		Render(tx, fw, nil)
		if err := nft.Check(ctx, tx); err != nil {
			return fmt.Errorf("nft --check: %w", err)
		}
	}
	return nil
}

// everyKind returns firewalls of a gateway and of a node that have together a rule of
// each kind.
func everyKind() []routes.Firewall {
	local, remote := netip.MustParsePrefix("192.0.2.0/25"), netip.MustParsePrefix("192.0.2.128/25")
	gateway := routes.Firewall{
		Lanes:       []routes.Lane{{Device: "mesh0", Sources: []netip.Prefix{remote}}},
		Local:       []netip.Prefix{local},
		Remote:      []netip.Prefix{remote},
		TunnelPorts: []uint16{51820}, ControlPort: 7443, Mark: routes.DefaultMark,
		TrustedDevices: []string{"eth0"},
		Hops:           []routes.Hop{{Device: "eth0", Address: local.Addr()}},
		Confine:        routes.Confine{Lanes: []string{"mesh0"}, Address: local.Addr(), LivenessPort: 3784},
		Transit:        routes.Transit{Devices: []string{"eth0"}, Services: []netip.Prefix{local}},
	}
	node := routes.Firewall{
		Local: []netip.Prefix{local}, Remote: []netip.Prefix{remote},
		NodePortSNAT: routes.NodePortSNAT{Addresses: []netip.Addr{local.Addr()}, ClusterIPs: []netip.Prefix{local}},
	}
	return []routes.Firewall{gateway, node}
}

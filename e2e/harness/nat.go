//go:build linux

package harness

import (
	"context"
	"fmt"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
)

// Translated returns the address that NAT gives to a datacenter (see Translate).
func (t *Topology) Translated(dc *Datacenter) netip.Addr {
	return betweenRouters(slices.Index(t.Routers[:], dc.router)).Addr()
}

// Translate puts a datacenter behind NAT: its packets get the address Translated,
// and keep their port if firstPort is 0, or get one of the ports from there on. Other
// hosts cannot open connections to it, and the router itself drops what is sent to
// it. A second call also applies to the connections that exist, as when the router
// restarts.
func (t *Topology) Translate(ctx context.Context, dc *Datacenter, firstPort uint16) error {
	address := t.Translated(dc)
	udp := address.String()
	if firstPort != 0 {
		udp += fmt.Sprintf(":%d-%d", firstPort, firstPort+99)
	}
	device := interfaceName(dc.Gateway)
	rules := fmt.Sprintf(`add table ip nat
delete table ip nat
table ip nat {
	chain sources {
		type nat hook postrouting priority srcnat
		iifname %[1]q meta l4proto udp snat to %[2]s
		iifname %[1]q snat to %[3]s
	}
	chain forward {
		type filter hook forward priority filter
		oifname %[1]q ct state new drop
	}
	chain input {
		type filter hook input priority filter
		ip daddr %[3]s meta l4proto { tcp, udp } drop
	}
}
`, device, udp, address)
	if _, err := dc.router.ExecInput(ctx, rules, "nft", "-f", "-"); err != nil {
		return fmt.Errorf("translate the address of %s: %w", dc.Name, err)
	}
	if err := dc.router.netlink.ConntrackTableFlush(netlink.ConntrackTable); err != nil {
		return fmt.Errorf("forget the connections of %s: %w", dc.Name, err)
	}
	return nil
}

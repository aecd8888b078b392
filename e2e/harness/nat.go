//go:build linux

package harness

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"

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

// Loss loses packets that a datacenter sends.
type Loss struct{ dc *Datacenter }

// NewLoss returns a Loss that has not started.
func NewLoss(dc *Datacenter) Loss { return Loss{dc} }

// Start drops UDP packets of the datacenter to a port until Stop.
func (l Loss) Start(ctx context.Context, port uint16) error {
	rules := fmt.Sprintf(`table ip loss {
	counter lost { }
	chain forward {
		type filter hook forward priority filter - 1
		iifname %q udp dport %d counter name lost drop
	}
}
`, interfaceName(l.dc.Gateway), port)
	if _, err := l.dc.router.ExecInput(ctx, rules, "nft", "-f", "-"); err != nil {
		return fmt.Errorf("lose packets of %s: %w", l.dc.Name, err)
	}
	return nil
}

// Count returns how many packets are lost.
func (l Loss) Count(ctx context.Context) (int, error) {
	text, err := l.dc.router.Exec(ctx, "nft", "list", "counter", "ip", "loss", "lost")
	if err != nil {
		return 0, fmt.Errorf("count lost packets of %s: %w", l.dc.Name, err)
	}
	var packets int
	_, after, _ := strings.Cut(text, "packets ")
	if _, err := fmt.Sscan(after, &packets); err != nil {
		return 0, fmt.Errorf("count lost packets of %s: %w", l.dc.Name, err)
	}
	return packets, nil
}

// Stop ends the loss.
func (l Loss) Stop(ctx context.Context) error {
	_, err := l.dc.router.Exec(ctx, "nft", "delete", "table", "ip", "loss")
	return err
}

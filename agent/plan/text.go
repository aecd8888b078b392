package plan

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/meshway/meshway/routes"
	"github.com/meshway/meshway/tunnel"
)

// String formats the plan for goldens and dry runs, with the terms of wg(8),
// ip(8) and nft(8).
func (d Desired) String() string {
	switch {
	case d.Empty() && d.Prune:
		return removeAllText
	case d.Empty():
		return unchangedText
	}
	var b strings.Builder
	writeDataplane(&b, d.Tunnels, d.Routes, d.Firewall, d.Sessions)
	for _, o := range d.Registration.Observations {
		fmt.Fprintf(&b, "observation %s at %s\n", o.Peer, o.Endpoint)
	}
	fmt.Fprintf(&b, "prune %v\n", d.Prune)
	return b.String()
}

// String formats the plan of a node like that of a gateway.
func (d NodeDesired) String() string {
	switch {
	case d.Hold:
		return unchangedText
	case d.Empty():
		return removeAllText
	}
	var b strings.Builder
	writeDataplane(&b, d.Tunnels, d.Routes, d.Firewall, d.Sessions)
	fmt.Fprintf(&b, "prune %v\n", d.Prune)
	return b.String()
}

const (
	unchangedText = "nothing is changed\n"
	removeAllText = "everything of ours is removed\n"
)

func writeDataplane(b *strings.Builder, tunnels []tunnel.Config, c routes.Config, fw routes.Firewall, sessions []SessionConfig) {
	for _, t := range tunnels {
		writeTunnel(b, t)
	}
	writeRoutes(b, c)
	writeFirewall(b, fw)
	for _, s := range sessions {
		fmt.Fprintf(b, "session %s dev %s local %s remote %s\n", s.Gateway, s.Device, s.Local, s.Remote)
	}
}

func writeTunnel(b *strings.Builder, t tunnel.Config) {
	fmt.Fprintf(b, "interface %s lane %d port %d fwmark %#x mtu %d address %s\n",
		t.Name, t.Lane, t.ListenPort, t.Mark, t.MTU, joined(t.Addresses))
	for _, p := range t.Peers {
		endpoint := "(as it is)"
		if p.Endpoint.IsValid() {
			endpoint = p.Endpoint.String()
		}
		if p.Renew {
			endpoint += " (renewed)"
		}
		fmt.Fprintf(b, "  peer %s endpoint %s keepalive %s\n    allowed-ips %s\n",
			p.PublicKey, endpoint, p.Keepalive, joined(p.AllowedIPs))
	}
}

func writeRoutes(b *strings.Builder, c routes.Config) {
	for _, s := range c.Sysctls {
		fmt.Fprintf(b, "sysctl %s\n", s)
	}
	for _, r := range c.Rules {
		fmt.Fprintf(b, "rule IPv%d %s\n", r.Family, r.Text(c.Table))
	}
	for _, n := range c.Nexthops {
		fmt.Fprintf(b, "nexthop %s\n", n)
	}
	for _, g := range c.Groups {
		fmt.Fprintf(b, "nexthop %s\n", g)
	}
	for _, r := range c.Routes {
		fmt.Fprintf(b, "route %s\n", r.Text(c.Table))
	}
}

func writeFirewall(b *strings.Builder, fw routes.Firewall) {
	for _, l := range fw.Lanes {
		fmt.Fprintf(b, "firewall from %s only %s\n", l.Device, joined(l.Sources))
	}
	fmt.Fprintf(b, "firewall local %s\n", joined(fw.Local))
	fmt.Fprintf(b, "firewall remote %s\n", joined(fw.Remote))
	if len(fw.TrustedDevices) > 0 {
		fmt.Fprintf(b, "firewall trusted dev %s\n", strings.Join(fw.TrustedDevices, " "))
	}
	if len(fw.Transit.Devices) > 0 {
		fmt.Fprintf(b, "firewall untracked between lanes and dev %s except services %s\n",
			strings.Join(fw.Transit.Devices, " "), joined(fw.Transit.Services))
	}
	for _, seen := range fw.NodePortSNAT.Addresses {
		fmt.Fprintf(b, "firewall node port snat to %s except services %s\n", seen, joined(fw.NodePortSNAT.ClusterIPs))
	}
	for _, h := range fw.Hops {
		fmt.Fprintf(b, "firewall remote also via %s dev %s\n", h.Address, h.Device)
	}
	fmt.Fprintf(b, "firewall exempt udp %v tcp %d\n", fw.TunnelPorts, fw.ControlPort)
	if fw.Mark != 0 {
		fmt.Fprintf(b, "firewall mark %#x\n", fw.Mark)
	}
}

func joined(prefixes []netip.Prefix) string {
	if len(prefixes) == 0 {
		return "(none)"
	}
	var text []string
	for _, p := range prefixes {
		text = append(text, p.String())
	}
	return strings.Join(text, " ")
}

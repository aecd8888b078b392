package rulesettest

import (
	"embed"
	"net/netip"
	"slices"

	"github.com/meshway/meshway/routes/ruleset"
)

// Files has the rules, as input of iptables-restore (.rules), iptables-legacy-restore
// (.legacy) or nft (.nft), and how nft 1.0.6 and iptables-legacy-save 1.8.9 list them
// (.json).
//
//go:embed testdata
var Files embed.FS

// Case is a set of rules, and the base chains that drop each packet.
type Case struct {
	File  string
	Drops map[string][]string // by name of the packet, as Text has them
}

// Text returns a drop as "CHAIN: CAUSE", or "some at CHAIN: CAUSE".
func Text(d ruleset.Drop) string {
	text := d.Chain.String() + ": " + d.By
	if d.Some {
		return "some at " + text
	}
	return text
}

// Cases returns all cases.
func Cases() []Case {
	return slices.Concat(nftCases(), setAndLegacyCases(), mapAndDeviceCases(), partialCases(), markCases(), protocolCases())
}

// mapAndDeviceCases returns the rules with verdict maps, and those of devices and bridges.
func mapAndDeviceCases() []Case {
	const (
		unsure    = "some at inet fw unsure: its policy drop"
		refused   = `inet fw forward: the rule "reject" of chain refused`
		toPeer    = `inet fw output: the rule "ip daddr . udp dport vmap { 198.51.100.2 . 51820 : drop, 198.51.100.3 . 51820 : accept }"`
		fromPort  = `netdev edge pods: the rule "iifname \"veth*\" ip daddr 10.12.0.0/16 drop"`
		atUplinks = `netdev edge both: the rule "udp dport vmap { 53 : accept, 51820 : drop }"`
		toPort    = `netdev edge lane-out: the rule "tcp dport 8080 drop"`
		byUplink  = `netdev edge out: the rule "ip daddr 198.51.100.0/24 udp sport 51820 drop"`
		ofBridge  = `bridge fw first: the rule "ip daddr 10.12.0.0/16 drop"`
	)
	return []Case{
		{"vmaps.nft", map[string][]string{
			"from pods": {refused, unsure}, "from pods, to a high port": {refused, unsure}, "from pods, established": {unsure}, "from pods, IPv6": {unsure},
			"to pods":       {`inet fw forward: the rule "ip saddr . meta l4proto vmap { 10.12.0.1 . tcp : drop, 10.12.0.1 . udp : accept }" of chain from-mesh`, unsure},
			"WireGuard out": {toPeer}, "WireGuard out, established": {toPeer},
			"liveness in": {`inet fw input: the rule "udp dport vmap { 51820 : accept, * : drop }"`},
		}},
		{"devices.nft", map[string][]string{
			"from pods": {fromPort, "some at " + toPort}, "from pods, established": {fromPort, "some at " + toPort},
			"from pods, IPv6": {"some at " + toPort}, "from pods, to a high port": {fromPort, toPort},
			"to pods": {
				`netdev edge to-pods: the rule "ip saddr 10.12.0.0/16 drop"`,
				`inet edge lane: the rule "ip saddr 10.12.0.0/16 meta l4proto tcp drop"`,
			},
			"WireGuard in": {atUplinks}, "WireGuard in, established": {atUplinks},
			"WireGuard out": {byUplink}, "WireGuard out, established": {byUplink},
			"liveness in": {"netdev edge lane: its policy drop"},
		}},
		{"bridge.nft", map[string][]string{
			"from pods": {ofBridge}, "from pods, established": {ofBridge}, "from pods, to a high port": {ofBridge},
			"from pods, IPv6": {"bridge fw in: its policy drop"},
			"to pods":         {`bridge fw out: the rule "oifname \"veth*\" ip saddr 10.12.0.0/16 drop"`},
		}},
	}
}

// Devices are those of the packets and of the rules.
func Devices() []string { return []string{"eth0", "eth1", "mesh0", "cali0123", "veth1", "veth2"} }

// setAndLegacyCases returns the rules with named sets, and those of iptables-legacy.
func setAndLegacyCases() []Case {
	const (
		chain   = "ip filter of iptables-legacy "
		knocked = `some at inet fw in: the rule "ip saddr != @banned tcp dport 22 drop"`
	)
	return []Case{
		{"sets.nft", map[string][]string{
			"from pods": {knocked}, "from pods, established": {knocked},
			"to pods":                   {`inet fw in: the rule "ip saddr @blocked drop"`},
			"WireGuard in":              {`inet fw local: the rule "ip saddr != @peers udp dport 51820 drop"`},
			"WireGuard in, established": {`inet fw local: the rule "ip saddr != @peers udp dport 51820 drop"`},
		}},
		{"docker.legacy", map[string][]string{
			"from pods": {chain + "FORWARD: its policy drop"}, "to pods": {chain + "FORWARD: its policy drop"},
			"from pods, established": {chain + "FORWARD: its policy drop"}, "from pods, to a high port": {chain + "FORWARD: its policy drop"},
		}},
		{"ufw.legacy", map[string][]string{
			"from pods": {chain + "FORWARD: its policy drop"}, "to pods": {chain + "FORWARD: its policy drop"},
			"from pods, to a high port": {chain + "FORWARD: its policy drop"},
			"WireGuard in":              {chain + "INPUT: its policy drop"}, "liveness in": {chain + "INPUT: its policy drop"},
		}},
		{"kube-proxy.legacy", nil},
		{"options.legacy", map[string][]string{
			"from pods":                 {chain + `FORWARD: the rule "-d 10.12.0.0/16 -j DROP" of chain no-mesh`},
			"from pods, to a high port": {chain + `FORWARD: the rule "-d 10.12.0.0/16 -j DROP" of chain no-mesh`},
			"WireGuard in":              {chain + `INPUT: the rule "! -s 10.0.0.0/8 -p udp -m multiport --dports 53,51000:51999 -j REJECT --reject-with icmp-port-unreachable"`},
		}},
		{"extensions.legacy", map[string][]string{
			"from pods": {chain + "FORWARD: its policy drop"}, "from pods, established": {chain + "FORWARD: its policy drop"},
			"from pods, to a high port": {chain + "FORWARD: its policy drop"},
			"to pods":                   {chain + `FORWARD: the rule "-m physdev ! --physdev-is-bridged -m iprange --dst-range 10.11.1.1-10.11.1.9 -j DROP"`},
			"liveness in":               {chain + "INPUT: its policy drop"},
			"WireGuard in":              {"some at " + chain + "INPUT: its policy drop"}, "WireGuard in, established": {"some at " + chain + "INPUT: its policy drop"},
		}},
		{"extensions.rules", map[string][]string{
			"WireGuard in": {"some at ip filter INPUT: its policy drop"}, "WireGuard in, established": {"some at ip filter INPUT: its policy drop"},
			"liveness in": {"ip filter INPUT: its policy drop"},
		}},
		{"extensions.nft", map[string][]string{
			"WireGuard in": {"some at inet fw in: its policy drop"}, "WireGuard in, established": {"some at inet fw in: its policy drop"},
			"liveness in": {"inet fw in: its policy drop"},
		}},
		{"raw.nft", map[string][]string{
			"WireGuard in":              {`ip raw PREROUTING: the rule "udp dport 51820 drop"`},
			"WireGuard in, established": {`ip raw PREROUTING: the rule "udp dport 51820 drop"`},
			"from pods, IPv6":           {`ip6 mangle POSTROUTING: the rule "oifname \"mesh0\" ip6 nexthdr tcp drop"`},
		}},
	}
}

func nftCases() []Case {
	const (
		policy = "ip filter FORWARD: its policy drop"
		last   = `inet fw forward: the rule "ip daddr 10.12.0.0-10.12.255.255 drop" of chain last`
	)
	uncertain := []string{`some at inet fw output: the rule "limit rate over 10/second drop"`, `some at inet fw output: the rule "meta skuid 0 drop"`}
	return []Case{
		{"docker.rules", map[string][]string{
			"from pods": {policy}, "to pods": {policy}, "from pods, established": {policy}, "from pods, to a high port": {policy},
		}},
		{"docker-accepting.rules", nil},
		{"ufw.rules", map[string][]string{
			"from pods": {policy}, "to pods": {policy}, "from pods, to a high port": {policy}, "UDP from pods": {policy}, // ping passes
			"WireGuard in": {"ip filter INPUT: its policy drop"}, "liveness in": {"ip filter INPUT: its policy drop"},
		}},
		{"ufw-accepting.rules", nil},
		{"firewalld.nft", map[string][]string{
			"from pods":                 {`inet firewalld filter_FORWARD: the rule "reject with icmpx admin-prohibited" of chain filter_FWD_public`},
			"to pods":                   {`inet firewalld filter_FORWARD: the rule "reject with icmpx admin-prohibited" of chain filter_FWD_public`},
			"from pods, IPv6":           {`inet firewalld filter_FORWARD: the rule "reject with icmpx admin-prohibited" of chain filter_FWD_public`},
			"from pods, to a high port": {`inet firewalld filter_FORWARD: the rule "reject with icmpx admin-prohibited" of chain filter_FWD_public`},
			"WireGuard in":              {`inet firewalld filter_INPUT: the rule "reject with icmpx admin-prohibited" of chain filter_IN_public`},
			"liveness in":               {`inet firewalld filter_INPUT: the rule "reject with icmpx admin-prohibited" of chain filter_IN_public`},
		}},
		{"kube-proxy.rules", nil},
		{"kube-proxy.nft", nil},
		{"calico.rules", nil},
		{"cilium.rules", nil},
		{"forward-policy.nft", map[string][]string{
			"from pods": {policy}, "to pods": {policy}, "from pods, established": {policy}, "from pods, to a high port": {policy},
		}},
		{"input-port.nft", map[string][]string{
			"WireGuard in":              {`inet fw in: the rule "udp dport 51820 drop"`},
			"WireGuard in, established": {`inet fw in: the rule "udp dport 51820 drop"`},
		}},
		{"established-only.nft", map[string][]string{"WireGuard in": {"inet fw in: its policy drop"}}},
		{"output.nft", map[string][]string{
			"WireGuard out": {"inet fw out: its policy drop"}, "WireGuard out, established": {"inet fw out: its policy drop"},
		}},
		{"jump.nft", map[string][]string{
			"from pods":                 {`some at ` + last},
			"from pods, established":    {`some at ` + last},
			"from pods, to a high port": {last},
		}},
		{"unknown.nft", map[string][]string{
			"from pods, IPv6": {"some at inet fw forward: its policy drop"},
			"WireGuard out":   uncertain, "WireGuard out, established": uncertain,
			"WireGuard in": {"some at inet fw input: its policy drop"}, "WireGuard in, established": {"some at inet fw input: its policy drop"},
			"liveness in": {"some at inet fw input: its policy drop"},
		}},
	}
}

// Packets returns packets of a gateway, by name.
func Packets() map[string]ruleset.Packet {
	address := netip.MustParseAddr
	fresh, established := []string{"new"}, []string{"established"}
	through, in, out := []string{"prerouting", "forward", "postrouting"}, []string{"prerouting", "input"}, []string{"output", "postrouting"}
	pod := ruleset.Packet{
		Hooks: through, In: []string{"cali0123"}, InPorts: []string{"veth1", "veth2"}, Out: []string{"mesh0"}, Source: address("10.11.1.2"), Destination: address("10.12.0.1"), Protocol: "tcp", States: fresh,
	}
	with := func(p ruleset.Packet, change func(*ruleset.Packet)) ruleset.Packet {
		change(&p)
		return p
	}
	mark := ruleset.Flow{Mark: ruleset.Mark{Value: 0x20, Known: ruleset.AllBits}}
	wireGuardIn := ruleset.Packet{Flow: mark, Hooks: in, In: []string{"eth0", "eth1"}, Source: address("198.51.100.2"), Here: true, Protocol: "udp", DestinationPort: 51820, States: fresh}
	wireGuardOut := ruleset.Packet{Flow: mark, Hooks: out, Out: []string{"eth0"}, Destination: address("198.51.100.2"), Protocol: "udp", SourcePort: 51820, DestinationPort: 51820, States: fresh}
	return map[string]ruleset.Packet{
		"from pods":                 pod,
		"from pods, established":    with(pod, func(p *ruleset.Packet) { p.States = established }),
		"from pods, to a high port": with(pod, func(p *ruleset.Packet) { p.DestinationPort = 8080 }),
		"from pods, IPv6":           with(pod, func(p *ruleset.Packet) { p.Source, p.Destination = address("fd00:11::2"), address("fd00:12::1") }),
		"to pods": with(pod, func(p *ruleset.Packet) {
			p.In, p.Out, p.InPorts, p.OutPorts, p.Source, p.Destination = p.Out, p.In, nil, p.InPorts, p.Destination, p.Source
			p.Bare = true
		}),
		"WireGuard in":               wireGuardIn,
		"WireGuard in, established":  with(wireGuardIn, func(p *ruleset.Packet) { p.States = established }),
		"WireGuard out":              wireGuardOut,
		"WireGuard out, established": with(wireGuardOut, func(p *ruleset.Packet) { p.States = established }),
		"liveness in": {
			Flow:  ruleset.Flow{Mark: ruleset.Mark{Known: ruleset.AllBits}},
			Hooks: in, In: []string{"mesh0"}, Bare: true, Source: address("100.96.0.2"), Destination: address("100.96.0.1"), Here: true, Protocol: "udp", DestinationPort: 3784, States: fresh,
		},
	}
}

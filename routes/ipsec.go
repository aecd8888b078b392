package routes

import (
	"fmt"
	"net/netip"
)

// IPsecPolicy is a policy of IPsec that drops packets, sends them by IPsec, or lets them pass
// before others do (ip-xfrm(8)).
type IPsecPolicy struct {
	Direction           string // "in", "out" or "fwd"
	Default             bool   // it is for packets without another one
	Source, Destination netip.Prefix
	Protocol            uint8 // 0: all
	FromPort, ToPort    uint16
	Priority            int // the lowest one applies
	Block               bool
	Encapsulate         bool // packets are sent by IPsec, and accepted only if they came by it
	// Partial is set if the policy is for packets with a mark or on one device.
	Partial bool
}

// String returns the policy as ip prints it.
func (p IPsecPolicy) String() string {
	if p.Default {
		return "default of dir " + p.Direction
	}
	text := fmt.Sprintf("src %s dst %s", p.Source, p.Destination)
	if p.Protocol != 0 {
		text += " proto " + protocolName(p.Protocol)
	}
	if p.FromPort != 0 {
		text += fmt.Sprintf(" sport %d", p.FromPort)
	}
	if p.ToPort != 0 {
		text += fmt.Sprintf(" dport %d", p.ToPort)
	}
	return text + " dir " + p.Direction
}

// Remedy returns the command that removes the policy.
func (p IPsecPolicy) Remedy() string {
	if p.Default {
		return "ip xfrm policy setdefault " + p.Direction + " accept"
	}
	return "ip xfrm policy delete " + p.String()
}

// ProtocolNumber returns the number of a protocol of packets that are compared; 0: it is not
// known.
func ProtocolNumber(name string) uint8 {
	return map[string]uint8{"tcp": protocolTCP, "udp": protocolUDP, "icmp": protocolICMP, "ipv6-icmp": protocolICMPv6}[name]
}

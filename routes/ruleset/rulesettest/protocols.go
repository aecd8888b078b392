package rulesettest

import (
	"slices"

	"github.com/meshway/meshway/routes/ruleset"
)

// protocolCases returns rules for protocols, for sets that change, for keys that are not
// compared, and with queues from which no program reads.
func protocolCases() []Case {
	const (
		legacy   = "ip filter of iptables-legacy FORWARD: "
		policy   = "inet fw forward: its policy drop"
		banned   = `some at inet fw in: the rule "ip saddr @banned drop"`
		listed   = `some at inet fw in: the rule "ip saddr vmap @verdicts" of chain local`
		last     = `some at inet fw in: the rule "drop"`
		queuedBy = legacy + `the rule "-d 10.12.0.0/16 -j NFQUEUE --queue-num 7"`
	)
	all := func(drop string) map[string][]string {
		out := map[string][]string{}
		for _, name := range []string{"from pods", "from pods, established", "from pods, to a high port", "ping from pods", "UDP from pods"} {
			out[name] = []string{drop}
		}
		return out
	}
	return []Case{
		{"timeouts.nft", map[string][]string{"WireGuard in": {banned, listed}, "WireGuard in, established": {banned, listed}}},
		{"keys.nft", map[string][]string{
			"from pods": {"some at " + policy}, "from pods, established": {"some at " + policy}, "from pods, IPv6": {"some at " + policy},
			"from pods, to a high port": {"some at " + policy}, "to pods": {policy},
			"WireGuard in": {last}, "WireGuard in, established": {last}, "liveness in": {last},
		}},
		{"protocols.nft", map[string][]string{
			"ping from pods": {policy}, "ping from pods, IPv6": {policy}, "UDP from pods": {`some at inet fw early: the rule "udp dport 53 drop"`},
		}},
		{"ping.rules", map[string][]string{"ping from pods": {`ip filter FORWARD: the rule "meta l4proto icmp drop"`}}},
		{"ping.legacy", map[string][]string{"ping from pods": {legacy + `the rule "-p icmp -m icmp --icmp-type 8 -j DROP"`}}},
		{"queue.legacy", all(queuedBy)},
		{"queue.rules", all(`ip filter FORWARD: the rule "-d 10.12.0.0/16 -j NFQUEUE --queue-num 7"`)},
	}
}

// Packets returns the packets of the case, by name.
func (c Case) Packets() map[string]ruleset.Packet {
	out := Packets()
	if slices.Contains([]string{"protocols.nft", "ping.rules", "ping.legacy", "queue.legacy", "queue.rules", "ufw.rules", "docker-accepting.rules"}, c.File) {
		for name, protocol := range map[string]string{"UDP from pods": "udp", "ping from pods": "icmp"} {
			p := out["from pods"]
			p.Protocol = protocol
			out[name] = p
		}
		p := out["from pods, IPv6"]
		p.Protocol = "ipv6-icmp"
		out["ping from pods, IPv6"] = p
	}
	return out
}

package rulesettest

// partialCases returns rules for some of the packets of a flow, and those with sets of the
// program ipset.
func partialCases() []Case {
	const (
		banned  = `some at ip filter INPUT: the rule "-m set --match-set banned src -j DROP"`
		blocked = `ip filter FORWARD: the rule "-m set --match-set blocked dst -j DROP"`
		toPort  = `ip filter OUTPUT: the rule "-m set --match-set ports dst,dst -j DROP"`
		limited = `some at ip filter INPUT: the rule "udp dport 51820 drop"`
		owned   = `some at ip filter OUTPUT: the rule "-m owner --uid-owner 1000 -j DROP"`
		few     = `inet fw forward: the rule "ip daddr 10.12.0.0/24 drop"`
		policy  = "some at inet fw input: its policy drop"
	)
	some := []string{
		`some at ip filter FORWARD: the rule "meta mark & 0x00000001 == 0x00000001 drop"`,
		`some at ip filter FORWARD: the rule "-m length --length 1400:65535 -j DROP"`,
		`some at ip filter FORWARD: the rule "-p tcp -m hashlimit --hashlimit-above 5/sec --hashlimit-burst 5 --hashlimit-name x -j DROP"`,
		`some at ip filter FORWARD: the rule "-p tcp -m connlimit --connlimit-above 5 --connlimit-mask 32 --connlimit-saddr -j DROP"`,
		`some at ip filter FORWARD: the rule "-m recent --update --seconds 60 --hitcount 4 --name y --mask 255.255.255.255 --rsource -j DROP"`,
		`some at ip filter FORWARD: the rule "-m statistic --mode random --probability 0.50000000000 -j DROP"`,
		`some at ip filter FORWARD: the rule "-m time --timestart 01:00:00 --timestop 02:00:00 --datestop 2038-01-19T03:14:07 -j DROP"`,
	}
	someAndPort := append(some[:len(some):len(some)], `some at ip filter FORWARD: the rule "ip saddr 10.11.1.0/24 tcp dport 25 drop"`)
	return []Case{
		{"ipset.rules", map[string][]string{
			"WireGuard in": {banned}, "WireGuard in, established": {banned}, "WireGuard out": {toPort}, "WireGuard out, established": {toPort},
			"from pods": {blocked}, "from pods, established": {blocked}, "from pods, to a high port": {blocked},
			"to pods": {`some at ip filter FORWARD: the rule "-m set --match-set others src -j DROP"`}, // a set with exceptions is not followed
		}},
		{"partial.rules", map[string][]string{
			"WireGuard in": {limited}, "WireGuard in, established": {limited}, "WireGuard out": {owned}, "WireGuard out, established": {owned},
			"from pods": someAndPort, "from pods, established": someAndPort, "from pods, to a high port": some, "to pods": some,
		}},
		{"flags.nft", map[string][]string{
			"WireGuard in": {policy}, "WireGuard in, established": {policy}, "liveness in": {policy},
			"from pods": {few}, "from pods, established": {few}, "from pods, to a high port": {few},
			"from pods, IPv6": {`inet fw forward: the rule "ip6 saddr ::/0 tcp flags syn / fin,syn,rst,ack drop"`},
		}},
	}
}

// markCases returns rules for packets with a mark.
func markCases() []Case {
	const (
		early   = `some at inet fw early: the rule "udp dport 51820 meta mark 0x00000020 drop"`
		in      = `inet fw in: the rule "iifname \"eth*\" meta mark & 0x00000020 == 0x00000020 drop"`
		out     = `inet fw out: the rule "meta mark vmap { 0x00000001 : accept, 0x00000010-0x00000030 : drop }"`
		through = `some at inet fw through: the rule "meta mark 0x00000020 drop"`
		changed = `inet fw in: the rule "meta mark & 0x00000022 == 0x00000020 drop"`
		restore = `some at inet fw out: the rule "meta mark 0x00000020 drop"`
		legacy  = `ip filter of iptables-legacy INPUT: the rule "-m mark ! --mark 0x0/0x20 -j DROP"`
		ofConn  = `some at ip filter of iptables-legacy OUTPUT: the rule "-p udp -m connmark --mark 0x20/0x20 -j DROP"`
	)
	pods := []string{through}
	return []Case{
		{"marks.nft", map[string][]string{
			"WireGuard in": {early, in}, "WireGuard in, established": {early, in}, "WireGuard out": {out}, "WireGuard out, established": {out},
			"from pods": pods, "from pods, established": pods, "from pods, IPv6": pods, "from pods, to a high port": pods, "to pods": pods,
		}},
		{"marking.nft", map[string][]string{
			"WireGuard in": {changed}, "WireGuard in, established": {changed}, "WireGuard out": {restore}, "WireGuard out, established": {restore},
		}},
		{"marks.legacy", map[string][]string{
			"WireGuard in": {legacy}, "WireGuard in, established": {legacy}, "WireGuard out": {ofConn}, "WireGuard out, established": {ofConn},
		}},
	}
}

package interference

import (
	"fmt"
	"slices"
	"strings"

	"github.com/meshway/meshway/routes"
	"github.com/meshway/meshway/routes/ruleset"
)

// passing returns the commands that let the packets pass that a chain drops: those
// of the program that owns the table, as far as it can be recognized.
func (f Filters) passing(d filtered) string {
	names := f.Others.Names[d.chain.Table.String()]
	has := func(prefix string) bool {
		return slices.ContainsFunc(names, func(name string) bool { return strings.HasPrefix(name, prefix) })
	}
	permanent := ", and add the same to what loads these rules at boot"
	switch {
	case d.chain.Table.Name == "firewalld":
		return "run " + f.firewalld(d)
	case has("ufw-") || has("ufw6-"):
		return "run " + f.ufw(d)
	case d.chain.Hook == "forward" && slices.Contains(names, "DOCKER-USER"):
		return "run " + f.iptables(d, "DOCKER-USER") + permanent
	case isIptables(d):
		return "run " + f.iptables(d, d.chain.Name) + permanent
	default:
		return "run " + f.nft(d) + permanent
	}
}

// isIptables reports whether iptables can change a chain: it has fixed names.
func isIptables(d filtered) bool {
	return (d.chain.Table.Family == "ip" || d.chain.Table.Family == "ip6") && d.chain.Name == strings.ToUpper(d.chain.Hook) &&
		slices.Contains([]string{"filter", "mangle", "raw", "security"}, d.chain.Table.Name)
}

func (f Filters) firewalld(d filtered) string {
	trusted := ""
	for _, l := range f.Firewall.Lanes {
		trusted += " --add-interface=" + l.Device
	}
	ports := ""
	for _, p := range d.purposes {
		switch p {
		case fromPods, toPods:
			for _, prefix := range f.Firewall.Local {
				if source := " --add-source=" + prefix.String(); !strings.Contains(trusted, source) {
					trusted += source
				}
			}
		case tunnelsIn, tunnelsOut:
			ports = f.ports(" --add-port=%d/udp")
		case fromHost, livenessIn, livenessOut, controlIn, controlOut:
		}
	}
	commands := []string{}
	if ports != "" {
		commands = append(commands, "firewall-cmd --permanent"+ports)
	}
	if ports == "" || len(d.purposes) > 1 {
		commands = append(commands, "firewall-cmd --permanent --zone=trusted"+trusted)
	}
	return strings.Join(append(commands, "firewall-cmd --reload"), " && ")
}

func (f Filters) ufw(d filtered) string {
	var commands []string
	for _, p := range d.purposes {
		for _, l := range f.Firewall.Lanes {
			switch p {
			case fromHost:
				commands = append(commands, "ufw allow out on "+l.Device)
			case fromPods:
				commands = append(commands, "ufw route allow out on "+l.Device)
			case toPods:
				commands = append(commands, "ufw route allow in on "+l.Device)
			case livenessIn, controlIn:
				commands = append(commands, "ufw allow in on "+l.Device)
			case livenessOut, controlOut:
				commands = append(commands, "ufw allow out on "+l.Device)
			case tunnelsIn, tunnelsOut:
			}
		}
		for _, port := range f.Firewall.TunnelPorts {
			switch p {
			case tunnelsIn:
				commands = append(commands, fmt.Sprintf("ufw allow in %d/udp", port))
			case tunnelsOut:
				commands = append(commands, fmt.Sprintf("ufw allow out proto udp from any port %d", port))
			case fromPods, toPods, fromHost, livenessIn, livenessOut, controlIn, controlOut:
			}
		}
	}
	return strings.Join(distinct(commands), " && ")
}

func (f Filters) iptables(d filtered, chain string) string {
	program := "iptables"
	if d.chain.Table.Family == "ip6" {
		program = "ip6tables"
	}
	if d.chain.Table.Legacy {
		program += "-legacy"
	}
	if d.chain.Table.Name != "filter" {
		program += " -t " + d.chain.Table.Name
	}
	var commands []string
	for _, p := range d.purposes {
		match := fmt.Sprintf("-i %s+", f.Config.WireGuard.Interface)
		switch {
		case p == tunnelsIn:
			match = "-p udp -m multiport --dports " + f.ports("%d,")
		case p == tunnelsOut:
			match = "-p udp -m multiport --sports " + f.ports("%d,")
		case p.out() && d.chain.Hook == "prerouting":
			match = "-d " + f.remote(d.chain.Table.Family, ",")
		case p.out():
			match = fmt.Sprintf("-o %s+", f.Config.WireGuard.Interface)
		case d.chain.Hook == "postrouting":
			match = "-s " + f.remote(d.chain.Table.Family, ",")
		}
		commands = append(commands, fmt.Sprintf("%s -I %s %s -j ACCEPT", program, chain, strings.TrimSuffix(match, ",")))
	}
	return strings.Join(distinct(commands), " && ")
}

func (f Filters) nft(d filtered) string {
	var commands []string
	for _, p := range d.purposes {
		for _, match := range f.nftMatches(d.chain, p) {
			commands = append(commands, fmt.Sprintf("nft insert rule %s '%s accept'", d.chain, match))
		}
	}
	return strings.Join(distinct(commands), " && ")
}

// nftMatches returns the matches for the packets of a purpose in a base chain: one, or one
// for each family of addresses where no lane is a device of the chain's packets.
func (f Filters) nftMatches(c ruleset.Chain, p purpose) []string {
	ofBridge, arriving, leaving := c.Table.Family == "bridge", c.Hook == "ingress" || c.Hook == "prerouting", c.Hook == "egress" || c.Hook == "postrouting"
	switch {
	case p == tunnelsIn:
		return []string{"udp dport { " + strings.TrimSuffix(f.ports("%d, "), ", ") + " }"}
	case p == tunnelsOut:
		return []string{"udp sport { " + strings.TrimSuffix(f.ports("%d, "), ", ") + " }"}
	case p.out() && (ofBridge || arriving):
		return f.addressed(c.Table.Family, "daddr")
	case p.out():
		return []string{fmt.Sprintf(`oifname "%s*"`, f.Config.WireGuard.Interface)}
	case ofBridge || leaving:
		return f.addressed(c.Table.Family, "saddr")
	default:
		return []string{fmt.Sprintf(`iifname "%s*"`, f.Config.WireGuard.Interface)}
	}
}

// addressed returns the matches for the addresses of other datacenters, of the families
// that a table has.
func (f Filters) addressed(table, field string) []string {
	var out []string
	for _, family := range []string{"ip", "ip6"} {
		prefixes := f.remote(family, ", ")
		if prefixes != "" && (table == family || table != "ip" && table != "ip6") {
			out = append(out, fmt.Sprintf("%s %s { %s }", family, field, prefixes))
		}
	}
	return out
}

// ports returns the ports of the lanes, each with a format.
func (f Filters) ports(format string) string {
	text := ""
	for _, p := range f.Firewall.TunnelPorts {
		text += fmt.Sprintf(format, p)
	}
	return text
}

// remote returns the prefixes of other datacenters of the family of a table.
func (f Filters) remote(family, separator string) string {
	var words []string
	for _, p := range f.Firewall.Remote {
		if (family == "ip6") == (routes.FamilyOf(p.Addr()) == routes.IPv6) {
			words = append(words, p.String())
		}
	}
	return strings.Join(words, separator)
}

// distinct returns the words without those that occurred before.
func distinct(words []string) []string {
	var out []string
	for _, w := range words {
		if !slices.Contains(out, w) {
			out = append(out, w)
		}
	}
	return out
}

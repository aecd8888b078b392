package catalog

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// Bounds of what one record may hold. They keep a defective member from filling
// the memory of all others.
const (
	maxNameLength     = 63  // RFC 1123 label
	maxInstanceLength = 253 // a DNS name
	maxEndpoints      = 16  // per gateway, and as many controls
	maxVersionLength  = 64
	maxPorts          = 64
	maxLabels         = 64
	maxLabelsSize     = 4 << 10 // bytes of all keys and values of a service

	maxAppProtocolLength = 317   // prefix/name, as Kubernetes has it
	maxAffinitySeconds   = 86400 // as in Kubernetes

	// MaxSliceEndpoints is how many endpoints a slice may have: the largest
	// ones still fit into one command.
	MaxSliceEndpoints = 200
)

// ValidateName says whether name is a lower-case DNS label (RFC 1123). The error
// is a *Refusal.
func ValidateName(name string) error { return checkName("name", name).err() }

func checkName(field, name string) *Refusal {
	if isLabel(name) {
		return nil
	}
	return &Refusal{
		Code: CodeNameInvalid, Field: field,
		Message: fmt.Sprintf("%q is no DNS label", shorten(name)),
		Remedy:  "use 1 to 63 of a-z, 0-9 and '-', with a letter or digit at both ends",
	}
}

func isLabel(s string) bool {
	if len(s) == 0 || len(s) > maxNameLength || s[0] == '-' || s[len(s)-1] == '-' {
		return false
	}
	return onlyBytes(s, func(c byte) bool { return isLowerOrDigit(c) || c == '-' })
}

func isLowerOrDigit(c byte) bool { return 'a' <= c && c <= 'z' || '0' <= c && c <= '9' }

func isAlphanumeric(c byte) bool { return isLowerOrDigit(c) || 'A' <= c && c <= 'Z' }

func onlyBytes(s string, allowed func(byte) bool) bool {
	for i := range len(s) {
		if !allowed(s[i]) {
			return false
		}
	}
	return true
}

// shorten keeps a hostile value from making an endless message.
func shorten(s string) string {
	const most = 80
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}

// ValidatePrefixes checks the prefixes of one datacenter by themselves: each is
// canonical, is not everything, keeps out of the addresses that no datacenter
// can own, and is there once. One inside another is legal: node addresses often
// lie in a larger range. The error is a *Refusal, its field "prefixes[i]".
func ValidatePrefixes(prefixes []Prefix) error {
	return checkPrefixes("prefixes", prefixes).err()
}

func checkPrefixes(field string, prefixes []Prefix) *Refusal {
	seen := make(map[netip.Prefix]int, len(prefixes))
	for i, p := range prefixes {
		if r := checkPrefix(p); r != nil {
			return r.in(at(field, i))
		}
		if first, twice := seen[p.CIDR]; twice {
			return &Refusal{
				Code: CodePrefixDuplicate, Field: at(field, i),
				Message: fmt.Sprintf("%s is already %s", p.CIDR, at(field, first)),
				Remedy:  "list each prefix once, with one kind",
			}
		}
		seen[p.CIDR] = i
	}
	return nil
}

func checkPrefix(p Prefix) *Refusal {
	invalid := func(message, remedy string) *Refusal {
		return &Refusal{Code: CodePrefixInvalid, Message: message, Remedy: remedy}
	}
	switch {
	case p.Kind != PodPrefix && p.Kind != ServicePrefix && p.Kind != NodePrefix:
		return invalid(fmt.Sprintf("kind %q is unknown", shorten(string(p.Kind))), "use pod, service or node")
	case !p.CIDR.IsValid():
		return invalid("it is no prefix", "write it as address/length: 10.1.0.0/16")
	case p.CIDR.Addr().Is4In6():
		return invalid(p.CIDR.String()+" is an IPv4 prefix written as IPv6", "write it as IPv4")
	case p.CIDR.Bits() == 0:
		return invalid(p.CIDR.String()+" is every address", "announce only what the datacenter itself owns")
	case p.CIDR != p.CIDR.Masked():
		return invalid(p.CIDR.String()+" is not canonical", fmt.Sprintf("write %s", p.CIDR.Masked()))
	}
	if reserved, found := reservedBy(p.CIDR); found {
		return invalid(fmt.Sprintf("%s overlaps %s, which belongs to no datacenter", p.CIDR, reserved),
			"announce only what the datacenter itself owns")
	}
	return nil
}

// reservedBy finds the special-purpose range (IANA registries of RFC 6890) that
// p overlaps. Two halves of the address space instead of /0 fail here too.
// 240.0.0.0/4 is not among them: there are clouds that give it to pods.
func reservedBy(p netip.Prefix) (netip.Prefix, bool) {
	for _, text := range [...]string{
		"0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/4", "255.255.255.255/32",
		"::/127", "::ffff:0:0/96", "fe80::/10", "ff00::/8",
	} {
		if reserved := netip.MustParsePrefix(text); reserved.Overlaps(p) {
			return reserved, true
		}
	}
	return netip.Prefix{}, false
}

// checkOverlay wants room for some gateways: 3 bits give six in IPv4.
func checkOverlay(field string, p netip.Prefix) *Refusal {
	const leastBits, leastHostBits = 8, 3
	refuse := func(message string) *Refusal {
		return &Refusal{
			Code: CodeOverlayInvalid, Field: field, Message: message,
			Remedy: "use a ULA /48 such as fd12:3456:789a::/48, or a private IPv4 prefix that no datacenter uses",
		}
	}
	if r := checkPrefix(Prefix{CIDR: p, Kind: NodePrefix}); r != nil {
		return refuse(r.Message)
	}
	if p.Bits() < leastBits || p.Addr().BitLen()-p.Bits() < leastHostBits {
		return refuse(fmt.Sprintf("%s is too wide or too narrow for overlay addresses", p))
	}
	return nil
}

// checkHostPorts wants host:port, with an IP address or a DNS name as host.
// Nothing is looked up: two members would see different answers.
func checkHostPorts(field string, list []string) *Refusal {
	if len(list) > maxEndpoints {
		return &Refusal{
			Code: CodeTooLarge, Field: field, Message: fmt.Sprintf("%d are too many", len(list)),
			Remedy: fmt.Sprintf("keep the best %d", maxEndpoints),
		}
	}
	for i, s := range list {
		if !isHostPort(s) {
			return &Refusal{
				Code: CodeEndpointInvalid, Field: at(field, i),
				Message: fmt.Sprintf("%q is no host:port", shorten(s)),
				Remedy:  "write 192.0.2.1:51820, [2001:db8::1]:51820 or gw.example.org:51820",
			}
		}
	}
	return nil
}

func isHostPort(s string) bool {
	if ap, err := netip.ParseAddrPort(s); err == nil {
		return isReachable(ap)
	}
	host, port, found := strings.Cut(s, ":")
	if n, err := strconv.ParseUint(port, 10, 16); !found || err != nil || n == 0 {
		return false
	}
	return isHostName(host)
}

// isReachable refuses a zone too: it is an interface of another host.
func isReachable(a netip.AddrPort) bool {
	return a.IsValid() && a.Port() != 0 && a.Addr().Zone() == "" &&
		!a.Addr().IsUnspecified() && !a.Addr().IsMulticast()
}

// isHostName refuses a name whose last label is a number (RFC 1123 §2.1): it is
// a mistyped IPv4 address.
func isHostName(host string) bool {
	host = strings.TrimSuffix(host, ".")
	if len(host) > maxInstanceLength {
		return false
	}
	labels := strings.Split(strings.ToLower(host), ".")
	for _, l := range labels {
		if !isLabel(l) {
			return false
		}
	}
	return !onlyBytes(labels[len(labels)-1], func(c byte) bool { return '0' <= c && c <= '9' })
}

func isUUID(s string) bool {
	if len(s) != 36 {
		return false
	}
	for i := range len(s) {
		hyphen := i == 8 || i == 13 || i == 18 || i == 23
		hex := '0' <= s[i] && s[i] <= '9' || 'a' <= s[i] && s[i] <= 'f'
		if hyphen != (s[i] == '-') || !hyphen && !hex {
			return false
		}
	}
	return true
}

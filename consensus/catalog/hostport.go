package catalog

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// checkHostPorts requires host:port, with an IP address or a DNS name as host. It
// does not resolve names, because members could get different results.
func checkHostPorts(field string, list []string) *Refusal {
	if len(list) > maxEndpoints {
		return tooLarge(field, fmt.Sprintf("%d addresses are too many", len(list)),
			fmt.Sprintf("list the best %d only", maxEndpoints))
	}
	for i, s := range list {
		if !isHostPort(s) {
			return &Refusal{
				Code: CodeEndpointInvalid, Field: At(field, i),
				Message: fmt.Sprintf("%q is not host:port", Shorten(s)),
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

// isReachable reports whether a can be an endpoint of another host. An address with
// a zone cannot, because the zone is an interface of that host.
func isReachable(a netip.AddrPort) bool {
	return a.IsValid() && a.Port() != 0 && a.Addr().Zone() == "" &&
		!a.Addr().IsUnspecified() && !a.Addr().IsMulticast()
}

// isHostName reports whether host is a DNS name. A name whose last label is a number
// is not (RFC 1123 §2.1), because it is a mistyped IPv4 address.
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

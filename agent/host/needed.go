package host

import (
	"net/netip"
	"os"
	"slices"
	"strings"

	"github.com/meshway/meshway/agent/plan"
)

// resolverFiles are the files with the resolvers of the host. The second one is
// that of systemd-resolved, whose stub on the loopback device is in the first.
func resolverFiles() []string {
	return []string{"/etc/resolv.conf", "/run/systemd/resolve/resolv.conf"}
}

// needed returns the addresses without which the host does not work, sorted: the
// API server and the resolvers. Files that cannot be read are ignored.
func needed(apiServer []netip.Addr, resolvConf ...string) []plan.Need {
	var list []plan.Need
	for _, a := range apiServer {
		list = append(list, plan.Need{Address: a, Use: "the API server", Movable: true})
	}
	for _, file := range resolvConf {
		text, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(text)) {
			words := strings.Fields(line)
			if len(words) < 2 || words[0] != "nameserver" {
				continue
			}
			if a, err := netip.ParseAddr(words[1]); err == nil && !a.IsLoopback() {
				list = append(list, plan.Need{Address: a.Unmap().WithZone(""), Use: "a resolver of the host", Movable: true})
			}
		}
	}
	slices.SortFunc(list, func(a, b plan.Need) int { return a.Address.Compare(b.Address) })
	return slices.Compact(list)
}

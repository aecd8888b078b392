package host

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/meshway/meshway/routes"
)

// ipv6Root has the settings of IPv6. It does not exist if the kernel has no IPv6.
const ipv6Root = "/proc/sys/net/ipv6"

// noIPv6 reports whether IPv6 is switched off for all devices, or for new ones,
// such as the lanes.
func noIPv6(root string) bool {
	if _, err := os.Stat(root); errors.Is(err, fs.ErrNotExist) {
		return true
	}
	return ipv6Setting(root, "all", "disable_ipv6") == "1" || ipv6Setting(root, "default", "disable_ipv6") == "1"
}

// advertised returns the devices with a default route from a router advertisement
// that the kernel has processed, sorted. With accept_ra 0, another program does it.
func advertised(root string, list []routes.HostRoute) []string {
	var devices []string
	for _, r := range list {
		if r.Advertised && r.Prefix.Bits() == 0 && slices.Contains([]string{"1", "2"}, ipv6Setting(root, r.Device, "accept_ra")) {
			devices = append(devices, r.Device)
		}
	}
	slices.Sort(devices)
	return slices.Compact(devices)
}

// ipv6Setting returns a setting of a device; empty: it cannot be read.
func ipv6Setting(root, device, name string) string {
	text, err := os.ReadFile(filepath.Join(root, "conf", device, name))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(text))
}

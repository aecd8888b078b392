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

// noIPv6 reports whether IPv6 is switched off for all devices. The setting for new ones
// does not concern the lanes that exist, and package device overrides it for those that it
// creates.
func noIPv6(root string) bool {
	_, err := os.Stat(root)
	return errors.Is(err, fs.ErrNotExist) || ipv6Setting(root, "all", "disable_ipv6") == "1"
}

// advertised returns the devices on which the kernel processes router advertisements, and
// has to while the host forwards, sorted: those with a default route from one, and all
// uplinks of a host that did not forward before Meshway. The first advertisement may
// arrive later than Meshway sets forwarding. With accept_ra 0, another program processes
// them.
func advertised(root string, list []routes.HostRoute, uplinks []string, forwarded bool) []string {
	var devices []string
	for _, r := range list {
		if r.Advertised && r.Prefix.Bits() == 0 {
			devices = append(devices, r.Device)
		}
	}
	if !forwarded {
		devices = append(devices, uplinks...)
	}
	devices = slices.DeleteFunc(devices, func(d string) bool {
		return !slices.Contains([]string{"1", "2"}, ipv6Setting(root, d, "accept_ra"))
	})
	slices.Sort(devices)
	return slices.Compact(devices)
}

// forwardingKey is the setting with which the kernel ignores router advertisements.
const forwardingKey = "net/ipv6/conf/all/forwarding"

// forwardedIPv6 reports whether the host forwarded IPv6 before Meshway set that.
func (h Host) forwardedIPv6() bool {
	if h.Before == nil {
		return true // Meshway sets nothing
	}
	value, err := h.Before(forwardingKey)
	return err != nil || value != "0"
}

// ipv6Setting returns a setting of a device; empty: it cannot be read.
func ipv6Setting(root, device, name string) string {
	text, err := os.ReadFile(filepath.Join(root, "conf", device, name))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(text))
}

package host

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/routes"
)

// ipv6Root has the settings of IPv6. It is empty or missing if the kernel has no IPv6.
const ipv6Root = "/proc/sys/net/ipv6"

// ipv6Of returns where a host has IPv6. Package device overrides the settings of the lanes.
func ipv6Of(root string) plan.IPv6 {
	_, err := os.Stat(filepath.Join(root, "conf"))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return plan.IPv6Missing
	case ipv6Setting(root, "all", "disable_ipv6") == "1":
		return plan.IPv6InLanes
	default:
		return plan.IPv6Everywhere
	}
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

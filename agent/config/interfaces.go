package config

import (
	"regexp"
	"slices"

	"github.com/meshway/meshway/consensus/catalog"
)

// maxInterfacePrefix leaves space for the number of the lane in the 15 bytes of an
// interface name.
const maxInterfacePrefix = 12

// systemdInterfaces matches the prefixes of names that systemd derives from the place of
// an interface, such as end0, enx001122334455 and wls1 (systemd.net-naming-scheme(7)).
const systemdInterfaces = "^(en|ib|sl|wl|ww)[a-z]?$"

// interfacePrefix validates the prefix of interface names. The number of the lane
// follows it, hence it must not end in a digit.
func (v validator) interfacePrefix(key string, t text) string {
	valid := len(t.value) <= maxInterfacePrefix && catalog.ValidateName(t.value) == nil && !endsInDigit(t.value)
	if !valid {
		v.faults.add(t.at, "%s: %q is not a prefix of interface names; use 1 to %d of a-z, 0-9 and '-' that end in a letter",
			key, t.value, maxInterfacePrefix)
	} else if slices.Contains(commonInterfaces(), t.value) || regexp.MustCompile(systemdInterfaces).MatchString(t.value) {
		v.faults.add(t.at, "%s: %q is also the prefix of other interfaces, such as %s0; use another one, such as mesh", key, t.value, t.value)
	}
	return t.value
}

// commonInterfaces are the prefixes of names that the kernel, systemd and other
// programs complete with a number.
func commonInterfaces() []string {
	return []string{
		"antrea-gw", "antrea-tun", "ath", "awg", "bat", "bnep", "bond", "br", "bridge", "can", "cbr", "cni", "cni-podman", "docker", "dummy", "em",
		"erspan", "eth", "fwbr", "fwln", "fwpr", "genev", "geneve", "gre", "gretap", "hsr", "ib", "ifb", "incusbr", "ip6gre", "ip6gretap", "ip6tnl",
		"ipip", "ipsec", "ipvlan", "kube-bridge", "kube-ipvs", "l2tpeth", "lan", "lo", "lowpan", "lxc", "lxcbr", "lxdbr", "lxdfan", "macsec",
		"macvlan", "macvtap", "mgmt", "mlan", "mpqemubr", "nebula", "nlmon", "ovpn", "ovs-br", "pan", "pimreg", "podman",
		"ppp", "rmnet", "seth", "sit", "sl", "slip", "swp", "tailscale", "tap", "team", "tinc", "tun", "tunl", "uap", "usb", "utun", "vboxnet",
		"vcan", "venet", "veth", "vif", "virbr", "vlan", "vmbr", "vmnet", "vnet", "vnic", "vrf", "vsockmon", "vti", "vxlan", "wan", "wg",
		"wifi", "wlan", "wpan", "wt", "wwan", "xenbr", "xfrm", "ygg", "zt",
	}
}

func endsInDigit(s string) bool {
	last := s[len(s)-1]
	return last >= '0' && last <= '9'
}

package routestest

import (
	"net/netip"
	"slices"

	"github.com/meshway/meshway/routes"
)

// The methods in this file act like another program on the host. Each makes Watch
// wake.

// AddDevice adds a link that is up, with an address of this host if address is
// valid. A Kernel without addresses accepts every source address.
func (k *Kernel) AddDevice(name string, address netip.Addr) {
	k.foreign(func() {
		k.addDevice(name)
		if address.IsValid() {
			k.addresses[address] = true
		}
	})
}

// AddLink adds an on-link prefix to a device: routers in it are reachable.
func (k *Kernel) AddLink(device string, prefix netip.Prefix) {
	k.foreign(func() { k.links[device] = append(k.links[device], prefix) })
}

// DownDevice takes a link down, which deletes all nexthops and routes through it.
func (k *Kernel) DownDevice(name string) {
	k.foreign(func() {
		k.devices[name] = false
		for id, n := range k.nexthops {
			if len(n.members) == 0 && n.Device == name {
				k.dropNexthop(id)
			}
		}
		for key, r := range k.routes {
			if r.device == name {
				delete(k.routes, key)
			}
		}
	})
}

// UpDevice takes a link up. It does not restore nexthops or routes.
func (k *Kernel) UpDevice(name string) { k.foreign(func() { k.devices[name] = true }) }

// AddRoute adds a foreign route, without a nexthop object.
func (k *Kernel) AddRoute(table int, prefix netip.Prefix, device string, protocol int) {
	k.foreign(func() {
		r := route{device: device, protocol: protocol}
		r.Prefix = prefix
		k.routes[routeKey{table: table, prefix: prefix}] = r
	})
}

// DeleteRoute deletes a route of any protocol.
func (k *Kernel) DeleteRoute(table int, prefix netip.Prefix) {
	k.foreign(func() { delete(k.routes, routeKey{table: table, prefix: prefix}) })
}

// AddRule adds a rule that looks up the given table.
func (k *Kernel) AddRule(lookup int, rule routes.Rule) {
	k.foreign(func() { k.rules[ruleKey{rule, lookup}] = true })
}

// DeleteRule deletes a rule.
func (k *Kernel) DeleteRule(table int, rule routes.Rule) {
	k.foreign(func() { delete(k.rules, ruleKey{rule, rule.Table(table)}) })
}

// AddNexthop adds a foreign blackhole nexthop.
func (k *Kernel) AddNexthop(id uint32, protocol int) {
	k.foreign(func() {
		k.nexthops[id] = nexthop{Nexthop: routes.Nexthop{ID: id, Family: routes.IPv4}, protocol: protocol}
	})
}

// DeleteNexthop deletes a nexthop or group of any protocol.
func (k *Kernel) DeleteNexthop(id uint32) { k.foreign(func() { k.dropNexthop(id) }) }

// SetSysctl sets a setting.
func (k *Kernel) SetSysctl(s routes.Sysctl) { k.foreign(func() { k.sysctls[s.Key] = s.Value }) }

func (k *Kernel) foreign(act func()) {
	k.mu.Lock()
	act()
	wakes := make([]func(), 0, len(k.watchers))
	for w := range k.watchers {
		wakes = append(wakes, w.wake)
	}
	k.mu.Unlock()
	for _, wake := range wakes {
		wake()
	}
}

func (k *Kernel) onLink(device string, router netip.Addr) bool {
	return slices.ContainsFunc(k.links[device], func(p netip.Prefix) bool { return p.Contains(router) })
}

func (k *Kernel) addDevice(name string) {
	k.devices[name] = true
	k.sysctls["net/ipv4/conf/"+name+"/rp_filter"] = "0"
	k.sysctls["net/ipv4/conf/"+name+"/forwarding"] = "0"
}

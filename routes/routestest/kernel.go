package routestest

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync"

	"github.com/meshway/meshway/routes"
)

// Kernel is a routes.Kernel in memory. It refuses what the real one refuses:
// adding existing entries, nexthops on devices that are missing or down, groups
// of missing nexthops, routes to missing nexthops. Like the real one it deletes
// nexthops with their device, and routes with their nexthop.
type Kernel struct {
	mu        sync.Mutex // guards all following fields
	devices   map[string]bool
	addresses map[netip.Addr]bool
	links     map[string][]netip.Prefix // on-link prefixes of devices
	nexthops  map[uint32]nexthop
	routes    map[routeKey]route
	rules     map[ruleKey]bool
	sysctls   map[string]string
	saved     map[string]savedSysctl // by key
	faults    []fault
	calls     Calls
	watchers  map[*watcher]bool
}

// Calls counts the calls of a Kernel's methods.
type Calls struct {
	Observe, Sysctls, Apply, Lookup int
	Messages                        int // entries that Apply had to write
}

type (
	nexthop struct {
		routes.Nexthop
		members  []uint32 // of a group
		protocol int
	}
	routeKey struct {
		table  int
		prefix netip.Prefix
		metric uint32
	}
	route struct {
		routes.Route
		device   string // of a foreign route
		protocol int
	}
	ruleKey struct {
		routes.Rule
		table int
	}
	savedSysctl struct{ before, ours string }
	fault       struct {
		operation string
		err       error
	}
	watcher struct{ wake func() }
)

// The errors of the kernel.
var (
	ErrExists  = errors.New("file exists")
	ErrMissing = errors.New("no such file or directory")
	ErrInvalid = errors.New("invalid argument")
	ErrDown    = errors.New("network is down")
	// ErrUnreachable is the error for a router that is on no link of its device.
	ErrUnreachable = errors.New("network is unreachable")
)

var _ routes.Kernel = (*Kernel)(nil)

// NewKernel returns a kernel with devices that are up and the sysctls of a new
// network namespace.
func NewKernel(devices ...string) *Kernel {
	k := &Kernel{
		devices:   map[string]bool{},
		addresses: map[netip.Addr]bool{},
		links:     map[string][]netip.Prefix{},
		nexthops:  map[uint32]nexthop{},
		routes:    map[routeKey]route{},
		rules:     map[ruleKey]bool{},
		sysctls:   map[string]string{},
		saved:     map[string]savedSysctl{},
		watchers:  map[*watcher]bool{},
	}
	for _, s := range routes.NodeSysctls(nil) {
		k.sysctls[s.Key] = "0"
	}
	k.sysctls["net/ipv4/nexthop_compat_mode"] = "1"
	for _, d := range devices {
		k.addDevice(d)
	}
	return k
}

// Observe implements routes.Kernel.
func (k *Kernel) Observe(_ context.Context, table int) (routes.Observed, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.calls.Observe++
	if err := k.fault("observe"); err != nil {
		return routes.Observed{}, err
	}
	return k.observed(table), nil
}

// Sysctls implements routes.Kernel.
func (k *Kernel) Sysctls(_ context.Context, keys []string) ([]routes.Sysctl, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.calls.Sysctls++
	if err := k.fault("sysctls"); err != nil {
		return nil, err
	}
	var found []routes.Sysctl
	for _, key := range sorted(keys) {
		if value, ok := k.sysctls[key]; ok {
			found = append(found, routes.Sysctl{Key: key, Value: value})
		}
	}
	return found, nil
}

// Lookup implements routes.Kernel: it uses the rules by priority, and in each
// table the longest prefix.
func (k *Kernel) Lookup(_ context.Context, q routes.Query) (routes.Lookup, error) {
	addr := q.Destination
	k.mu.Lock()
	defer k.mu.Unlock()
	k.calls.Lookup++
	if err := k.fault("lookup " + addr.String()); err != nil {
		return routes.Lookup{}, err
	}
	for _, rule := range k.sortedRules() {
		if rule.Family != routes.FamilyOf(addr) || rule.In != q.In && rule.In != "" || q.Mark&rule.Mark != 0 {
			continue
		}
		if found, ok := k.longest(rule.table, addr); ok && found.Kind != routes.Throw {
			return k.resolve(rule.table, found), nil
		}
	}
	return routes.Lookup{}, fmt.Errorf("lookup %s: %w", addr, routes.ErrNoRoute)
}

func (k *Kernel) longest(table int, addr netip.Addr) (route, bool) {
	best, ok := route{}, false
	for key, r := range k.routes {
		if key.table == table && key.prefix.Contains(addr) && (!ok || r.Prefix.Bits() > best.Prefix.Bits() || r.Prefix == best.Prefix && r.Kind.Metric() < best.Kind.Metric()) {
			best, ok = r, true
		}
	}
	return best, ok
}

// resolve uses the first member of a group; the real kernel selects one by hash.
func (k *Kernel) resolve(table int, r route) routes.Lookup {
	found := routes.Lookup{Table: table, Prefix: r.Prefix, Nexthop: r.Nexthop, Device: r.device}
	hop := k.nexthops[r.Nexthop]
	if len(hop.members) > 0 {
		hop = k.nexthops[hop.members[0]]
	}
	if found.Nexthop == 0 {
		found.Blackhole = r.Kind == routes.Guard
		return found
	}
	found.Device, found.Via, found.Blackhole = hop.Device, hop.Via, hop.Device == ""
	if !found.Blackhole {
		found.Source = r.Source
	}
	return found
}

// Watch implements routes.Kernel. It wakes once, and then after every operation
// that acts like another program.
func (k *Kernel) Watch(ctx context.Context, wake func()) error {
	w := &watcher{wake: wake}
	k.mu.Lock()
	k.watchers[w] = true
	k.mu.Unlock()
	wake()
	<-ctx.Done()
	k.mu.Lock()
	delete(k.watchers, w)
	k.mu.Unlock()
	return nil
}

// Calls returns the numbers of calls so far.
func (k *Kernel) Calls() Calls {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.calls
}

// Fail makes every operation fail with err whose text contains operation, until
// Heal is called. Texts are "observe", "sysctls", "lookup 10.0.0.1", "add route
// 10.2.0.0/16 …", "delete rule …", "set sysctl net/ipv4/ip_forward=1" and so on.
func (k *Kernel) Fail(operation string, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.faults = append(k.faults, fault{operation: operation, err: err})
}

// Heal ends every failure.
func (k *Kernel) Heal() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.faults = nil
}

// fault returns the error that Fail set for an operation.
func (k *Kernel) fault(operation string) error {
	for _, f := range k.faults {
		if strings.Contains(operation, f.operation) {
			return fmt.Errorf("%s: %w", operation, f.err)
		}
	}
	return nil
}

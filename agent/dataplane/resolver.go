package dataplane

import (
	"context"
	"log/slog"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/meshway/meshway/agent/notify"
	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/consensus/catalog"
)

const resolveInterval = 30 * time.Second

// resolver keeps the addresses of the host names that gateways advertise, so
// that a pass never waits for DNS. If a name fails to resolve, its last
// addresses stay.
type resolver struct {
	host    Host
	log     *slog.Logger
	changed notify.Signal // set when an address has changed
	wake    notify.Signal // set when a name was added

	mu    sync.Mutex // guards names
	names map[string][]netip.Addr
}

func newResolver(host Host, log *slog.Logger, changed notify.Signal) *resolver {
	return &resolver{host: host, log: log, changed: changed, wake: notify.NewSignal(), names: map[string][]netip.Addr{}}
}

// endpoints returns where each gateway of c other than self may be reached, in
// the order in which it advertises.
func (r *resolver) endpoints(c plan.Catalog, self catalog.GatewayID) map[catalog.GatewayID][]netip.AddrPort {
	found := map[catalog.GatewayID][]netip.AddrPort{}
	for _, g := range c.Gateways {
		if g.ID() == self {
			continue
		}
		for _, hostport := range g.Endpoints {
			found[g.ID()] = append(found[g.ID()], r.resolve(hostport)...)
		}
	}
	return found
}

// resolve returns the endpoints of host:port, as far as the name was resolved.
func (r *resolver) resolve(hostport string) []netip.AddrPort {
	host, service, err := net.SplitHostPort(hostport)
	if err != nil {
		return nil
	}
	port, err := strconv.ParseUint(service, 10, 16)
	if err != nil {
		return nil
	}
	var endpoints []netip.AddrPort
	for _, addr := range r.lookup(host) {
		endpoints = append(endpoints, netip.AddrPortFrom(addr, uint16(port)))
	}
	return endpoints
}

// lookup returns the addresses of host; none until watch has added it and it was resolved.
func (r *resolver) lookup(host string) []netip.Addr {
	if addr, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{addr.Unmap()}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.names[host]
}

// watch adds the host names that the gateways of c other than self advertise.
func (r *resolver) watch(c plan.Catalog, self catalog.GatewayID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, g := range c.Gateways {
		if g.ID() == self {
			continue
		}
		for _, hostport := range g.Endpoints {
			host, _, err := net.SplitHostPort(hostport)
			if err != nil {
				continue
			}
			_, watched := r.names[host]
			if _, err := netip.ParseAddr(host); err == nil || watched {
				continue
			}
			r.names[host] = nil
			r.wake.Notify()
		}
	}
}

// run resolves new names at once, and all names every resolveInterval.
func (r *resolver) run(ctx context.Context) {
	notify.Loop(ctx, func(ctx context.Context) time.Duration {
		if r.resolveAll(ctx) {
			r.changed.Notify()
		}
		return resolveInterval
	}, r.wake.Changed)
}

// resolveAll reports whether an address has changed.
func (r *resolver) resolveAll(ctx context.Context) (changed bool) {
	r.mu.Lock()
	names := slices.Sorted(maps.Keys(r.names))
	r.mu.Unlock()
	for _, name := range names {
		addresses, err := r.host.Resolve(ctx, name)
		if err != nil {
			r.log.Debug("failed to resolve an endpoint", "endpoint", name, "err", err)
			continue
		}
		r.mu.Lock()
		changed = changed || !slices.Equal(r.names[name], addresses)
		r.names[name] = addresses
		r.mu.Unlock()
	}
	return changed
}

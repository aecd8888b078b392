package agent

import (
	"context"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/meshway/meshway/agent/wake"
)

const resolveInterval = 30 * time.Second

// resolver keeps the addresses of the host names that gateways advertise, so
// that a pass never waits for DNS. A name that fails keeps its last answer.
type resolver struct {
	host    Host
	log     *slog.Logger
	changed wake.One // of the loop
	wake    wake.One

	mu    sync.Mutex // guards all following
	names map[string][]netip.Addr
}

func newResolver(host Host, log *slog.Logger, changed wake.One) *resolver {
	return &resolver{host: host, log: log, changed: changed, wake: wake.NewOne(), names: map[string][]netip.Addr{}}
}

// lookup returns the addresses of host; none until it has been resolved once.
func (r *resolver) lookup(host string) []netip.Addr {
	if addr, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{addr.Unmap()}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	addresses, known := r.names[host]
	if !known {
		r.names[host] = nil
		r.wake.Up()
	}
	return addresses
}

// Run resolves new names at once and all names again from time to time.
func (r *resolver) Run(ctx context.Context) error {
	for {
		if r.resolve(ctx) {
			r.changed.Up()
		}
		select {
		case <-ctx.Done():
			return nil
		case <-r.wake:
		case <-time.After(resolveInterval):
		}
	}
}

func (r *resolver) resolve(ctx context.Context) (changed bool) {
	r.mu.Lock()
	names := slices.Sorted(maps.Keys(r.names))
	r.mu.Unlock()
	for _, name := range names {
		addresses, err := r.host.Resolve(ctx, name)
		if err != nil {
			r.log.Debug("endpoint does not resolve", "host", name, "err", err)
			continue
		}
		r.mu.Lock()
		changed = changed || !slices.Equal(r.names[name], addresses)
		r.names[name] = addresses
		r.mu.Unlock()
	}
	return changed
}

package kernel

import (
	"net/netip"
	"sync"
	"sync/atomic"

	"github.com/meshway/meshway/routes"
)

// Kernel implements routes.Kernel. Its methods may be called concurrently.
type Kernel struct {
	options Options
	// writerID is the port of the socket that writes. Notifications have the
	// port of the socket that caused them, so that Watch can ignore those of
	// this Kernel. 0: the socket is not open yet.
	writerID atomic.Uint32
	// table is the table of the last Observe, whose routes Watch reports. 0:
	// Observe was not called yet; Watch reports the routes of all tables.
	table     atomic.Int64
	watchHost atomic.Bool                    // Watch reports changes of host routes
	prefixes  atomic.Pointer[[]netip.Prefix] // of the routes that Observe returned last
	// devices are those of the nexthops that Observe returned last: the kernel deletes
	// nexthops with their device without a message.
	devices atomic.Pointer[map[string]bool]
	tables  atomic.Pointer[map[int]bool] // of foreign rules, as Observe returned them last

	applying sync.RWMutex // held for reading by each Apply, which Close waits for
	mu       sync.Mutex   // guards all following, and the stored sysctls
	// writer stays open until Close, so that its port is not used by others.
	writer *conn
}

var _ routes.Kernel = (*Kernel)(nil)

// New returns a Kernel. It opens no socket yet.
func New(o Options) *Kernel { return &Kernel{options: o} }

// Close closes the socket that writes. The Kernel can still be used.
func (k *Kernel) Close() error {
	k.applying.Lock()
	defer k.applying.Unlock()
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.writer == nil {
		return nil
	}
	k.writer.close()
	k.writer = nil
	return nil
}

// writing returns the socket that writes. The caller holds k.applying.
func (k *Kernel) writing() (*conn, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.writer != nil {
		return k.writer, nil
	}
	c, err := dial()
	if err != nil {
		return nil, err
	}
	k.writer = c
	k.writerID.Store(c.port)
	return c, nil
}

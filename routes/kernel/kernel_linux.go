package kernel

import (
	"sync"
	"sync/atomic"

	"github.com/meshway/meshway/routes"
)

// Kernel is the routes.Kernel of this host. Its methods may be called from
// several goroutines.
type Kernel struct {
	options Options
	// writerID is the port of the socket that writes: notifications carry the
	// port of who caused them, by which Watch knows our own. 0: none yet.
	writerID atomic.Uint32
	// table is the one that was observed last: Watch heeds its routes. 0: none
	// yet, so all.
	table     atomic.Int64
	watchHost atomic.Bool // Watch heeds what HostRoutes reads

	mu sync.Mutex // guards all following fields, and that writes do not overlap
	// writer lives as long as the adapter, so that its port stays ours.
	writer *conn
}

var _ routes.Kernel = (*Kernel)(nil)

// New returns an adapter; it opens nothing yet.
func New(o Options) *Kernel { return &Kernel{options: o} }

// Close closes the socket that writes. The adapter can be used again.
func (k *Kernel) Close() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.writer == nil {
		return nil
	}
	k.writer.close()
	k.writer = nil
	return nil
}

// writing returns the socket that writes; k.mu is held.
func (k *Kernel) writing() (*conn, error) {
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

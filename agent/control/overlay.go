package control

import (
	"context"
	"net"
	"net/netip"
	"sync"

	"golang.org/x/sync/errgroup"
)

// overlay holds this gateway's overlay address, which is known after the join.
type overlay struct {
	wake chan struct{}

	mu   sync.Mutex // guards all following fields
	addr netip.Addr
}

func newOverlay() *overlay { return &overlay{wake: make(chan struct{}, 1)} }

func (o *overlay) set(addr netip.Addr) {
	o.mu.Lock()
	o.addr = addr
	o.mu.Unlock()
	select {
	case o.wake <- struct{}{}:
	default: // awake already
	}
}

func (o *overlay) get() netip.Addr {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.addr
}

// listenOverlay keeps a second listener on the overlay address. One for both would
// not do: an accepted socket inherits the mark of its listener, and with the mark
// the answers to a peer in the overlay would leave beside the tunnel.
func (p *Port) listenOverlay(ctx context.Context) error {
	for ctx.Err() == nil {
		addr := p.overlay.get()
		if !addr.IsValid() {
			p.awaitOverlay(ctx, addr)
			continue
		}
		at := netip.AddrPortFrom(addr, p.boundPort())
		l, err := p.config.Sockets.Listen(ctx, at, Overlay)
		if err != nil {
			p.log.Warn("cannot listen on overlay address", "address", at.String(), "err", err)
			pause(ctx, overlayRetry)
			continue
		}
		if err := p.acceptOverlay(ctx, l, addr); err != nil {
			return err
		}
	}
	return nil
}

// acceptOverlay serves one listener until the overlay address is another one.
func (p *Port) acceptOverlay(ctx context.Context, l net.Listener, addr netip.Addr) error {
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error { return p.accept(gctx, l) })
	g.Go(func() error {
		p.awaitOverlay(gctx, addr)
		_ = l.Close() // ends accept
		return nil
	})
	return g.Wait()
}

// awaitOverlay returns when the overlay address is another one than have.
func (p *Port) awaitOverlay(ctx context.Context, have netip.Addr) {
	for p.overlay.get() == have {
		select {
		case <-p.overlay.wake:
		case <-ctx.Done():
			return
		}
	}
}

// boundPort is the port of the first listener: that of the configuration,
// unless it asks for any.
func (p *Port) boundPort() uint16 {
	if bound, err := netip.ParseAddrPort(p.Addr().String()); err == nil {
		return bound.Port()
	}
	return p.config.Listen.Port()
}

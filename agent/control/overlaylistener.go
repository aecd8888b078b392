package control

import (
	"context"
	"net"
	"net/netip"

	"golang.org/x/sync/errgroup"

	"github.com/meshway/meshway/agent/control/internal/limit"
)

// listenOverlay keeps a second listener on the overlay address until ctx ends. One
// listener for both paths does not work: an accepted socket inherits the firewall
// mark of its listener, and marked replies to a peer in the overlay would bypass
// the tunnel.
func (p *Port) listenOverlay(ctx context.Context) error {
	for ctx.Err() == nil {
		addr := p.overlay.Get()
		if !addr.IsValid() {
			p.awaitOverlayChange(ctx, addr)
			continue
		}
		at := netip.AddrPortFrom(addr, p.boundPort())
		l, err := p.cfg.Sockets.Listen(ctx, at, Overlay)
		if err != nil {
			p.log.Warn("failed to listen on the overlay address", "address", at.String(), "err", err, "retry", overlayRetry)
			wait(ctx, overlayRetry)
			continue
		}
		if err := p.acceptOverlay(ctx, l, addr); err != nil {
			return err
		}
	}
	return nil
}

// acceptOverlay serves l until the overlay address is no longer addr.
func (p *Port) acceptOverlay(ctx context.Context, l net.Listener, addr netip.Addr) error {
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error { return p.accept(gctx, l, func(net.Addr) *limit.Budget { return p.budgets.Overlay }) })
	g.Go(func() error {
		p.awaitOverlayChange(gctx, addr)
		_ = l.Close() // ends accept
		return nil
	})
	return g.Wait()
}

// awaitOverlayChange returns when the overlay address is no longer addr, or ctx
// ends.
func (p *Port) awaitOverlayChange(ctx context.Context, addr netip.Addr) {
	for {
		changed := p.overlay.Changed() // before Get, so that no change is missed
		if p.overlay.Get() != addr {
			return
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return
		}
	}
}

// boundPort returns the port of the underlay listener. It differs from that of the
// configuration if that is 0.
func (p *Port) boundPort() uint16 {
	if bound, err := netip.ParseAddrPort(p.Addr().String()); err == nil {
		return bound.Port()
	}
	return p.cfg.Listen.Port()
}

package federation

import (
	"context"
	"errors"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/meshway/meshway/agent/control"
	"github.com/meshway/meshway/consensus/catalog"
)

const (
	// standingTimeout bounds one question, and standingsAtOnce the sum of all.
	standingTimeout = 5 * time.Second
	standingsAtOnce = 8
)

// Expelled implements agent.Federation. A no counts only from a catalog that goes
// as far as ours: one that lags may not have us yet.
func (m *Member) Expelled(ctx context.Context) catalog.GatewayID {
	view := m.node.View()
	own, _ := view.Datacenter(m.cfg.Datacenter)
	var mu sync.Mutex
	var by catalog.GatewayID
	var asking errgroup.Group
	asking.SetLimit(standingsAtOnce)
	for _, g := range view.Gateways() {
		if g.Datacenter == m.cfg.Datacenter {
			continue
		}
		asking.Go(func() error {
			ctx, cancel := context.WithTimeout(ctx, standingTimeout)
			defer cancel()
			no, ok := errors.AsType[*control.NotMemberError](m.port.Client().CheckMembership(ctx, g.ID()))
			if !ok || no.Index < own.ModifiedIndex {
				return nil
			}
			mu.Lock()
			defer mu.Unlock()
			if by == "" || no.Gateway < by {
				by = no.Gateway
			}
			return nil
		})
	}
	_ = asking.Wait() // none fails
	return by
}

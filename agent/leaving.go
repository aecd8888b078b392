package agent

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/meshway/meshway/consensus/catalog"
)

// holdSiblings proves, before anything has changed, that the other gateways of
// the datacenter can be told that it leaves.
func (a *Agent) holdSiblings(ctx context.Context, force bool) error {
	if a.deps.Siblings == nil || force {
		return nil
	}
	err := a.amend(ctx, func(c *Common) error {
		if c.claimedByOther(a.deps.Config.Gateway, time.Now()) {
			return a.beingTaken(*c.Claim)
		}
		c.Claim = a.newClaim()
		return nil
	})
	if refusal := (*catalog.Refusal)(nil); errors.As(err, &refusal) {
		return refusal
	}
	if err != nil {
		return fmt.Errorf("tell the other gateways of this datacenter: %w; nothing was changed: try again when the API server is back, "+
			"or leave without them with --force", err)
	}
	return nil
}

// tellSiblings lets the other gateways of the datacenter clean up as well.
func (a *Agent) tellSiblings(ctx context.Context, m *member) error {
	if a.deps.Siblings == nil {
		return nil
	}
	return a.amend(ctx, func(c *Common) error {
		if c.Standing == nil || c.Standing.FederationID == m.FederationID {
			c.Standing, c.Claim, c.Left = nil, nil, m.FederationID
		}
		return nil
	})
}

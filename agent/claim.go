package agent

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/meshway/meshway/consensus/catalog"
)

const (
	// claimLife is how long a gateway that founds, joins or leaves is waited for. It
	// is longer than each takes at most.
	claimLife = 3 * time.Minute
	// amendTries is how often a write is made again that another one crossed, and
	// amendTimeout bounds them together.
	amendTries   = 5
	amendTimeout = 20 * time.Second
	// saveTimeout bounds one write of what the gateways have in common.
	saveTimeout = 10 * time.Second
)

// claimed runs found, by which this gateway brings its datacenter into a
// federation, while no other gateway of it can. Before, all gateways have the
// same CA; after it, they know that they are members.
func (a *Agent) claimed(ctx context.Context, found func() error) error {
	if a.deps.Siblings == nil {
		return found()
	}
	if err := a.claim(ctx); err != nil {
		return err
	}
	err := found()
	if err != nil {
		a.letGo(ctx)
	}
	return err // the tender tells the others when it is nil
}

// claim tells the other gateways to wait, and agrees with them on a CA.
func (a *Agent) claim(ctx context.Context) error {
	if _, err := a.deps.Siblings.Current(); err != nil {
		return commonUnknown(err)
	}
	return a.amend(ctx, a.mayClaim)
}

// mayClaim puts the own claim into common, or says why it must not.
func (a *Agent) mayClaim(common *Common) (err error) {
	self := a.deps.Config.Gateway
	if common.Standing != nil {
		return a.datacenterIsMember(*common.Standing)
	}
	if common.claimedByOther(self, time.Now()) {
		return a.beingTaken(*common.Claim)
	}
	err = ErrFormerName // or it never had one
	if len(common.Certificate) > 0 {
		err = a.deps.Federations.Adopt(*common)
	}
	// It is in no federation: nobody knows the CA under the former name.
	if errors.Is(err, ErrFormerName) {
		common.Certificate, common.Key, err = a.deps.Federations.Authority()
	}
	if err != nil {
		return err
	}
	common.Claim = a.newClaim()
	return nil
}

func (a *Agent) beingTaken(c Claim) error {
	return &catalog.Refusal{
		Code:    claimedCode,
		Message: fmt.Sprintf("gateway %s is just taking datacenter %s into a federation or out of one", c.Gateway, a.deps.Config.Datacenter),
		Remedy:  "wait until it has ended; this gateway follows by itself",
	}
}

func (a *Agent) newClaim() *Claim {
	return &Claim{Gateway: a.deps.Config.Gateway, At: time.Now().UTC().Truncate(time.Second)}
}

// letGo ends the own claim, also when the caller has gone. If that fails, the
// others go on after claimLife.
func (a *Agent) letGo(ctx context.Context) {
	if a.deps.Siblings == nil {
		return
	}
	err := a.amend(context.WithoutCancel(ctx), func(c *Common) error {
		if c.claimedBy(a.deps.Config.Gateway) {
			c.Claim = nil
		}
		return nil
	})
	if err != nil {
		a.deps.Log.Warn("the other gateways wait for this one in vain", "err", err)
	}
}

// amend changes what the gateways have in common, again if another gateway
// wrote meanwhile.
func (a *Agent) amend(ctx context.Context, change func(*Common) error) error {
	ctx, cancel := context.WithTimeout(ctx, amendTimeout)
	defer cancel()
	var err error
	for range amendTries {
		changed := a.deps.Siblings.Changed()
		common, unknown := a.deps.Siblings.Current()
		if unknown != nil {
			return unknown
		}
		if err := change(&common); err != nil {
			return err
		}
		if err = a.deps.Siblings.Save(ctx, common); !errors.Is(err, ErrOutdated) {
			return err
		}
		select {
		case <-changed:
		case <-time.After(time.Second):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return err
}

func commonUnknown(err error) error {
	return &catalog.Refusal{
		Code: commonUnknownCode, Message: "it is not known what the gateways of this datacenter have in common: " + err.Error(),
		Remedy: "check that the API server is reachable from this gateway and that the chart's Secret (kubernetes.identitySecret) exists, then try again",
	}
}

func (a *Agent) datacenterIsMember(s Standing) error {
	through := strings.Join(s.gateways(a.deps.Config.Datacenter), ", ")
	return &catalog.Refusal{
		Code: alreadyMemberCode,
		Message: fmt.Sprintf("datacenter %s is in federation %s (%s) already, through gateway %s",
			a.deps.Config.Datacenter, s.FederationName, s.FederationID, through),
		Remedy: "there is nothing to do: this gateway becomes a member by itself; see meshctl status. To move to another federation run meshctl leave first",
	}
}

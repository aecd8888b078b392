//go:build linux

package main

import (
	"context"
	"fmt"
	"hash/maphash"
	"time"

	"github.com/meshway/meshway/agent/registrar"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/catalogpb"
	"github.com/meshway/meshway/consensus/catalog/replica"
	"github.com/meshway/meshway/e2e/scale/workload"
)

// copyOfCatalog is the copy of the catalog on a gateway.
type copyOfCatalog struct {
	size  workload.Size
	state *replica.State
	index uint64
}

func newReplica(size workload.Size) (*copyOfCatalog, error) {
	c := &copyOfCatalog{size: size, state: replica.New()}
	if err := c.apply(size.Init()); err != nil {
		return nil, err
	}
	for _, commands := range [][]*catalogpb.Command{size.Members(), size.Content()} {
		for _, command := range commands {
			if err := c.apply(command); err != nil {
				return nil, err
			}
		}
	}
	return c, nil
}

func (c *copyOfCatalog) apply(commands ...*catalogpb.Command) error {
	entry, err := catalog.Marshal(commands...)
	if err != nil {
		return err
	}
	c.index++
	results, err := c.state.Apply(c.index, entry)
	if err != nil {
		return err
	}
	for _, r := range results {
		if r.Refusal != nil {
			return fmt.Errorf("apply a command to the catalog: %w", r.Refusal)
		}
	}
	return nil
}

// desired returns what the catalog should contain about this gateway, which is what
// it contains.
func (c *copyOfCatalog) desired() registrar.Desired {
	view, self := c.state.View(), c.size.Self()
	gateway, _ := view.Gateway(self)
	dc, _ := view.Datacenter(self.Datacenter())
	d := registrar.Desired{Gateway: gateway, Prefixes: dc.Prefixes, Services: view.Services(replica.ServiceFilter{Owner: self})}
	for _, o := range view.Observations() {
		if o.Observer == self {
			d.Observations = append(d.Observations, o)
		}
	}
	return d
}

func noneUnsigned() registrar.Unsigned { return registrar.Unsigned{} }

// measureCommit measures what the write of a service by another datacenter costs:
// the local copy, the registrar's comparison, and the search for changed exports.
func (b *bench) measureCommit(context.Context) (err error) {
	c, err := newReplica(b.size)
	if err != nil {
		return err
	}
	own, seed, n, exports := c.desired(), maphash.MakeSeed(), 0, c.state.View().ExportsIndex()
	if missing := own.Missing(c.state.View(), noneUnsigned()); len(missing) > 0 {
		return fmt.Errorf("the catalog lacks %d records of this gateway", len(missing))
	}
	b.result.CommitCost, err = b.median("one foreign commit", func() (time.Duration, error) {
		n++
		change := b.size.Change(n)
		start := time.Now()
		if err := c.apply(change); err != nil {
			return 0, err
		}
		view := c.state.View()
		own.Missing(view, noneUnsigned())
		if at := view.ExportsIndex(); at != exports { // as the controller of multi-cluster services does
			view.ExportedNames(seed)
			exports = at
		}
		return time.Since(start), nil
	})
	return err
}

package workload

import (
	"fmt"

	"github.com/meshway/meshway/agent/registrar"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/catalogpb"
	"github.com/meshway/meshway/consensus/catalog/feed"
	"github.com/meshway/meshway/consensus/catalog/replica"
)

// Copy is the copy of the catalog on a gateway.
type Copy struct {
	size  Size
	state *replica.State
	feed  *feed.Feed // of state
	index uint64
}

// NewCopy returns a copy that has all of the federation.
func NewCopy(size Size) (*Copy, error) {
	c := &Copy{size: size, state: replica.New(), feed: feed.New()}
	c.state.Observe(c.feed.Observe)
	if err := c.Apply(size.Init()); err != nil {
		return nil, err
	}
	for _, commands := range [][]*catalogpb.Command{size.Members(), size.Content()} {
		for _, command := range commands {
			if err := c.Apply(command); err != nil {
				return nil, err
			}
		}
	}
	return c, nil
}

// Apply applies commands as one entry of the log.
func (c *Copy) Apply(commands ...*catalogpb.Command) error {
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

// View returns the contents.
func (c *Copy) View() *replica.View { return c.state.View() }

// Feed returns the latest changes of services.
func (c *Copy) Feed() *feed.Feed { return c.feed }

// Watch returns a watcher of all later changes of services.
func (c *Copy) Watch() (*feed.Watcher, error) { return c.feed.Watch(feed.Filter{}, c.index) }

// Desired returns what the catalog should contain about this gateway, which is what
// it contains.
func (c *Copy) Desired() registrar.Desired {
	view, self := c.state.View(), c.size.Self()
	gateway, _ := view.Gateway(self)
	dc, _ := view.Datacenter(self.Datacenter())
	d := registrar.Desired{Gateway: gateway, Prefixes: dc.Prefixes, Services: map[catalog.ServiceKey]catalog.Service{}}
	for _, s := range view.Services(replica.ServiceFilter{Owner: self}) {
		d.Services[s.ServiceKey] = s
	}
	for _, o := range view.Observations() {
		if o.Observer == self {
			d.Observations = append(d.Observations, o)
		}
	}
	return d
}

package inventory

import (
	"context"
	"net/netip"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/meshway/meshway/agent/config"
	"github.com/meshway/meshway/agent/dataplane"
	"github.com/meshway/meshway/agent/kube"
	"github.com/meshway/meshway/agent/notify"
	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/consensus/catalog"
)

// SiblingProberConfig configures a SiblingProber.
type SiblingProberConfig struct {
	Probes     dataplane.Prober
	Datacenter catalog.DatacenterName
	Node       string                 // name of the own Node
	Nodes      func() []kube.Node     // of the cluster, sorted by name
	Changed    func() <-chan struct{} // closed at the next change of Nodes
}

// SiblingProber probes the hosts of the other gateways of the cluster. A gateway
// that fails cannot withdraw its entries from the Datacenter objects; and after a
// reboot its kernel answers the probes of nodes long before it has tunnels.
type SiblingProber struct{ cfg SiblingProberConfig }

// NewSiblingProber returns a prober that does nothing until it runs.
func NewSiblingProber(cfg SiblingProberConfig) *SiblingProber { return &SiblingProber{cfg} }

// Run probes until ctx ends.
func (p *SiblingProber) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return p.cfg.Probes.Run(ctx) })
	notify.Loop(ctx, func(context.Context) time.Duration {
		p.cfg.Probes.Set(p.sessions())
		return 0
	}, p.cfg.Changed)
	return group.Wait()
}

// sessions returns one session for each other gateway, to its first address of a
// family of which this host has an address.
func (p *SiblingProber) sessions() []plan.SessionConfig {
	nodes := p.cfg.Nodes()
	i := slices.IndexFunc(nodes, func(n kube.Node) bool { return n.Name == p.cfg.Node })
	if i < 0 {
		return nil
	}
	var out []plan.SessionConfig
	for _, n := range nodes {
		local, remote, ok := sameFamily(nodes[i].Addresses, n.Addresses)
		if !n.Gateway || n.Name == p.cfg.Node || !ok {
			continue
		}
		id := catalog.NewGatewayID(p.cfg.Datacenter, config.GatewayOfNode(n.Name))
		out = append(out, plan.SessionConfig{Gateway: id, Local: local, Remote: remote})
	}
	return out
}

func sameFamily(own, others []netip.Addr) (local, remote netip.Addr, ok bool) {
	for _, remote := range others {
		i := slices.IndexFunc(own, func(a netip.Addr) bool { return a.Is4() == remote.Is4() })
		if i >= 0 {
			return own[i], remote, true
		}
	}
	return netip.Addr{}, netip.Addr{}, false
}

// Silent returns the names of the gateways that do not answer, and since when.
func (p *SiblingProber) Silent() map[string]time.Time {
	silent := map[string]time.Time{}
	for _, s := range p.cfg.Probes.Sessions() {
		if !s.Up && !s.Undecided {
			silent[s.Gateway.Name()] = s.Since
		}
	}
	return silent
}

// Changed is closed at the next change of Silent after this call.
func (p *SiblingProber) Changed() <-chan struct{} { return p.cfg.Probes.Changed() }

package inventory

import (
	"context"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/meshway/meshway/agent"
	"github.com/meshway/meshway/agent/config"
	"github.com/meshway/meshway/agent/kube"
	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/consensus/catalog"
)

// SiblingProberConfig is configures a SiblingProber.
type SiblingProberConfig struct {
	Probes     agent.Probes
	Datacenter catalog.DatacenterName
	Node       string                 // name of the own Node
	Nodes      func() []kube.Node     // of the cluster
	Changed    func() <-chan struct{} // closed at the next change of Nodes
}

// SiblingProber asks the hosts of the other gateways of the cluster whether they
// live. One that does not cannot take back what it has told the nodes; and when
// it is up again, its kernel answers the nodes long before it has tunnels.
type SiblingProber struct{ cfg SiblingProberConfig }

// NewSiblingProber returns one that does nothing until it runs.
func NewSiblingProber(cfg SiblingProberConfig) *SiblingProber { return &SiblingProber{cfg} }

// Run asks until ctx ends.
func (l *SiblingProber) Run(ctx context.Context) error {
	var asking sync.WaitGroup
	defer asking.Wait()
	failed := make(chan error, 1)
	asking.Go(func() { failed <- l.cfg.Probes.Run(ctx) })
	for {
		changed := l.cfg.Changed() // before the look, so that none is missed
		l.cfg.Probes.Set(l.sessions())
		select {
		case err := <-failed:
			return err
		case <-changed:
		}
	}
}

// sessions are one for each other gateway, by the first address of whose
// family this host has one.
func (l *SiblingProber) sessions() []plan.SessionConfig {
	nodes := l.cfg.Nodes()
	i := slices.IndexFunc(nodes, func(n kube.Node) bool { return n.Name == l.cfg.Node })
	if i < 0 {
		return nil
	}
	var out []plan.SessionConfig
	for _, n := range nodes {
		local, remote, ok := sameFamily(nodes[i].Addresses, n.Addresses)
		if !n.Gateway || n.Name == l.cfg.Node || !ok {
			continue
		}
		id := catalog.NewGatewayID(l.cfg.Datacenter, config.GatewayOfNode(n.Name))
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

// Silent are the names of gateways that do not answer, with the time since when.
func (l *SiblingProber) Silent() map[string]time.Time {
	silent := map[string]time.Time{}
	for _, s := range l.cfg.Probes.Sessions() {
		if !s.Up && !s.Undecided {
			_, name, _ := strings.Cut(string(s.Gateway), "/")
			silent[name] = s.Since
		}
	}
	return silent
}

// Changed is closed at the next change of Silent after this call.
func (l *SiblingProber) Changed() <-chan struct{} { return l.cfg.Probes.Changed() }

package agent

import (
	"context"
	"strings"

	"github.com/meshway/meshway/agent/status"
	"github.com/meshway/meshway/consensus/catalog"
)

// Member returns the federation that this gateway is in, or an error that
// says how to get into one.
func (a *Agent) Member() (Federation, error) {
	m := a.member.Load()
	if m == nil {
		return nil, notMember()
	}
	return m.federation, nil
}

// Peers lists the members of consensus with who is healthy as seen from here.
func (a *Agent) Peers() (status.Consensus, error) {
	m := a.member.Load()
	if m == nil {
		return status.Consensus{}, notMember()
	}
	return judgePeers(m.federation.Consensus(), a.self, m.loop.liveness.Sessions()), nil
}

// Register adds a service of this datacenter to the catalog. Without a leader
// it is queued on disk and written as soon as there is one.
func (a *Agent) Register(ctx context.Context, service catalog.Service) (index uint64, queued bool, err error) {
	m := a.member.Load()
	if m == nil {
		return 0, false, notMember()
	}
	return m.registrar.register(ctx, a.own(service))
}

// Deregister removes what this gateway registered under the name; an empty
// instance means all instances.
func (a *Agent) Deregister(ctx context.Context, namespace, name, instance string) (removed int, queued bool, err error) {
	m := a.member.Load()
	if m == nil {
		return 0, false, notMember()
	}
	key := a.own(catalog.Service{ServiceKey: catalog.ServiceKey{Namespace: namespace, Name: name}}).ServiceKey
	key.Instance = instance
	return m.registrar.deregister(ctx, key)
}

// own fills in what a registration leaves out: whose it is, the default
// namespace, and an instance name after the address, so that registering
// another address adds an instance.
func (a *Agent) own(s catalog.Service) catalog.Service {
	s.Datacenter, s.Owner = a.deps.Config.Datacenter, a.self
	if s.Namespace == "" {
		s.Namespace = "default"
	}
	if s.Instance == "" && s.Address.IsValid() {
		s.Instance = "a-" + strings.NewReplacer(".", "-", ":", "-").Replace(s.Address.StringExpanded())
	}
	return s
}

package agent

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"time"

	"github.com/meshway/meshway/agent/build"
	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/agent/status"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/routes"
)

// Status returns everything that this gateway knows of itself. It does not block.
func (a *Agent) Status() status.Snapshot {
	s := status.Sources{
		At: time.Now(), StartedAt: a.startedAt, Version: build.Current().Version,
		State: a.state.Load().(status.State), PublicKey: a.deps.Key.Public(),
		Inputs: plan.Inputs{Self: a.self, Config: a.deps.Config, Now: time.Now()},
	}
	if m := a.member.Load(); m != nil {
		m.fill(&s)
	}
	if a.deps.Problems != nil {
		s.Problems = append(s.Problems, a.deps.Problems()...)
	}
	for _, problem := range []*plan.Problem{a.joining.Load(), a.sharing.Load()} {
		if problem != nil {
			s.Problems = append(s.Problems, *problem)
		}
	}
	return status.Build(s)
}

// Changed is closed at the next change of Status after this call.
func (a *Agent) Changed() <-chan struct{} { return a.published.Changed() }

func (m *member) fill(s *status.Sources) {
	s.Certificate = m.federation.Certificate()
	s.Consensus = judgePeers(m.federation.Consensus(), s.Inputs.Self, m.loop.liveness.Sessions())
	s.Services = countServices(m.federation.View())
	var refused []plan.Problem
	s.Queue, refused = m.registrar.state()
	if p := m.loop.last.Load(); p != nil {
		s.At, s.Inputs, s.Desired = p.at, p.inputs, p.desired
		s.Tunnels, s.Routes = p.tunnels, p.routes
		s.LastApply = m.loop.applied()
		for _, err := range p.errors {
			s.Errors = append(s.Errors, err.Error())
		}
		s.Problems = slices.Clone(p.problems)
		s.Inputs.Observed.Sessions = m.loop.liveness.Sessions()
		s.Inputs.Now = time.Now()
	}
	s.Problems = append(s.Problems, refused...)
	if gone := m.expelled.Load(); gone != nil { // then no remedy is to bring back voters
		s.Problems = append(s.Problems, *gone)
		return
	}
	s.Problems = append(s.Problems, consensusProblems(s.Consensus)...)
}

// judgePeers says who is healthy as seen from here where the leader, who knows,
// is somebody else: a gateway that can be reached. Between gateways of one
// datacenter there is no tunnel: those are taken for healthy.
func judgePeers(c status.Consensus, self catalog.GatewayID, sessions []plan.Session) status.Consensus {
	if c.Role == "leader" {
		return c
	}
	for i, p := range c.Peers {
		c.Peers[i].Healthy = p.ID.Datacenter() == self.Datacenter() || slices.ContainsFunc(sessions, func(s plan.Session) bool {
			return s.Gateway == p.ID && s.Up
		})
	}
	return c
}

func countServices(v *catalog.View) map[catalog.DatacenterName]int {
	count := map[catalog.DatacenterName]int{}
	for _, s := range v.Services(catalog.ServiceFilter{}) {
		count[s.Datacenter]++
	}
	return count
}

func consensusProblems(c status.Consensus) []plan.Problem {
	if c.Leader != "" {
		return nil
	}
	return []plan.Problem{{
		Code: "no-leader", Severity: plan.Error, Subject: "catalog",
		Message: "the catalog has no leader: traffic goes on, but nothing can be written",
		Remedy:  "bring back a majority of the voters (meshctl raft list-peers); if they are lost for good: meshctl raft recover",
	}}
}

// Routes explains the kernel's routes as they are now; with a valid
// destination also which way a packet of this host takes to it.
func (a *Agent) Routes(ctx context.Context, destination netip.Addr) (status.RoutesReport, error) {
	observed, err := a.deps.Dataplane.Routes.Observe(ctx, a.deps.Config.Routing.Table)
	if err != nil {
		return status.RoutesReport{}, err
	}
	s := status.RouteSources{Inputs: plan.Inputs{Self: a.self, Config: a.deps.Config}, Observed: observed}
	if m := a.member.Load(); m != nil {
		if p := m.loop.last.Load(); p != nil {
			s.Inputs, s.Desired = p.inputs, p.desired
			s.Inputs.Observed.Sessions = m.loop.liveness.Sessions()
		}
	}
	if destination.IsValid() {
		if s.Lookup, err = lookup(ctx, a.deps.Dataplane.Routes, destination); err != nil {
			return status.RoutesReport{}, err
		}
	}
	return status.BuildRoutes(s), nil
}

func lookup(ctx context.Context, kernel routes.Kernel, destination netip.Addr) (*status.Lookup, error) {
	found, err := kernel.Lookup(ctx, destination)
	if errors.Is(err, routes.ErrNoRoute) {
		return &status.Lookup{Address: destination, Error: err.Error()}, nil
	}
	if err != nil {
		return nil, err
	}
	return &status.Lookup{
		Address: destination, Table: found.Table, Prefix: found.Prefix,
		Device: found.Device, Source: found.Source, Blackhole: found.Blackhole,
	}, nil
}

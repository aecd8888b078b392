package membership

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/meshway/meshway/agent/build"
	"github.com/meshway/meshway/agent/dataplane"
	"github.com/meshway/meshway/agent/membership/internal/noleader"
	"github.com/meshway/meshway/agent/membership/internal/refused"
	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/agent/status"
	"github.com/meshway/meshway/consensus"
	"github.com/meshway/meshway/consensus/catalog"
)

// Status returns the status of this gateway. It does not block.
func (a *Agent) Status() status.Snapshot {
	now := time.Now()
	s := status.Sources{
		At:        now,
		StartedAt: a.startedAt,
		Version:   build.Current().Version,
		State:     a.runner.currentState().shown(),
		PublicKey: a.publicKey,
		Inputs:    plan.Inputs{Self: a.cfg.File.GatewayID(), Config: a.cfg.File, Now: now},
	}
	if r := a.runner.current(); r != nil {
		r.fill(&s)
	} else {
		a.departed.Fill(&s)
	}
	if a.cfg.Environment != nil {
		environment := a.cfg.Environment()
		s.Problems = append(s.Problems, environment.Problems...)
		s.MultiCluster = environment.MultiCluster
	}
	for _, problem := range []*plan.Problem{a.joinProblem.Load(), a.shared.problem.Load()} {
		if problem != nil {
			s.Problems = append(s.Problems, *problem)
		}
	}
	return status.Build(s)
}

// Changed returns a channel that is closed at the next change of Reachability or Status.
func (a *Agent) Changed() <-chan struct{} { return a.published.Changed() }

// Reachability returns what this gateway observes of the federation, for the
// control loops that act for the whole datacenter. It does not block.
func (a *Agent) Reachability() plan.Reachability {
	r := plan.Reachability{Self: a.cfg.File.GatewayID(), State: plan.MembershipChanging}
	switch state := a.runner.currentState(); {
	case state == isMember:
		r.State = plan.IsMember
	case state == standalone && !a.DatacenterIsMember():
		r.State, r.Guarded = plan.NotMember, a.guards()
	}
	if m := a.runner.current(); m != nil {
		m.gateway.Reach(&r)
	}
	return r
}

// guards reports whether the hosts of this datacenter, which is in no federation, guard
// the prefixes of the one that it left.
func (a *Agent) guards() bool {
	if a.cfg.Siblings == nil {
		return a.departed.Guards()
	}
	shared, err := a.cfg.Siblings.Current()
	return err != nil || shared.Left != "" && !shared.Released
}

// fill sets what a member adds to the status.
func (r *running) fill(s *status.Sources) {
	self := s.Inputs.Self
	r.gateway.Fill(s)
	s.Certificate = r.member.CertificateEnd()
	s.Consensus = judgePeers(r.member.Status(), self, r.gateway.Sessions())
	s.Services = r.member.View().CountServices()
	pending, since, rejected := r.registrar.Queue()
	s.Queue = status.Queue{Pending: pending, Since: since}
	s.Problems = append(slices.Clip(s.Problems), rejected...)
	if removed := r.removed.Load(); removed != nil { // the voters of the federation are not to be restored then
		s.Problems = append(s.Problems, *removed)
		return
	}
	s.Problems = append(s.Problems, r.leadership(self, s.Consensus, s.StartedAt).Problems()...)
	s.Problems = append(s.Problems, refused.Problems(s.Consensus.Refused, s.At)...)
}

// judgePeers sets which members are healthy if this gateway is not the leader,
// which measures it: those whose tunnels are up. Between gateways of one
// datacenter there is no tunnel: they count as healthy.
func judgePeers(s consensus.Status, self catalog.GatewayID, sessions []plan.Session) consensus.Status {
	if s.Role == "leader" {
		return s
	}
	s.Peers = slices.Clone(s.Peers)
	for i, p := range s.Peers {
		s.Peers[i].Healthy = p.ID.Datacenter() == self.Datacenter() || slices.ContainsFunc(sessions, func(s plan.Session) bool {
			return s.Gateway == p.ID && s.Up
		})
	}
	return s
}

// leadership returns what is known about the leader of the catalog.
func (r *running) leadership(self catalog.GatewayID, s consensus.Status, started time.Time) noleader.Leadership {
	begin, end := r.member.CAValidity()
	passed := []noleader.Moment{
		{At: begin, What: fmt.Sprintf("the CA of datacenter %s was created", self.Datacenter())},
		{At: build.Current().Time, What: "the source of this meshd was committed"},
	}
	for _, dc := range r.member.View().Datacenters() {
		passed = append(passed, noleader.Moment{At: dc.JoinedAt, What: fmt.Sprintf("datacenter %s joined", dc.Name)})
	}
	now := time.Now()
	since := started
	if s.LastContact >= 0 {
		since = now.Add(-s.LastContact)
	}
	lasting := now.Sub(since)
	now = r.member.Now()
	return noleader.Leadership{
		Self: self, Now: now, Status: s, Passed: noleader.Latest(passed...), Expires: end, Since: now.Add(-lasting),
		Differ: r.member.ClockDifferences(), Others: len(r.member.View().Gateways()) - 1,
	}
}

// Peers returns the state of the replication, with the members that are healthy
// as seen from here.
func (a *Agent) Peers() (consensus.Status, error) {
	r := a.runner.current()
	if r == nil {
		return consensus.Status{}, a.notMember()
	}
	return judgePeers(r.member.Status(), a.cfg.File.GatewayID(), r.gateway.Sessions()), nil
}

// Routes explains the routes of the kernel as they are now. With a valid
// destination the report includes the route that a packet of this host takes
// to it.
func (a *Agent) Routes(ctx context.Context, destination netip.Addr) (status.RoutesReport, error) {
	s := status.RouteSources{Inputs: plan.Inputs{Self: a.cfg.File.GatewayID(), Config: a.cfg.File}}
	if r := a.runner.current(); r != nil {
		r.gateway.FillRoutes(&s)
	} else {
		a.departed.FillRoutes(&s)
	}
	return dataplane.ExplainRoutes(ctx, a.cfg.Kernel.Routes, s, destination)
}

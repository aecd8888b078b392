//go:build linux && root

package netns_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/agent/trust"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/e2e/harness"
)

// What the host of the first datacenter needs, all in private ranges that the program may
// announce.
const (
	neededRange    = "172.16.0.0/12"
	neededNetwork  = "172.20.0.0/24"   // connected, of the management host
	neededHost     = "172.20.0.2"      // in it
	neededResolver = "172.21.0.53"     // behind the router
	neededRouter   = "172.22.0.1"      // of its default route
	notNeeded      = "172.23.9.9"      // another address of the range
	ghostRange     = "10.66.0.0/16"    // of the datacenters that the program admits
	internet       = "100.100.66.0/24" // behind the routers
)

// addNeeds gives the gateway of dc a private router, a private resolver, and a management
// network, before its agent starts. It returns the host in the management network.
func addNeeds(t *testing.T, topology *harness.Topology, dc *harness.Datacenter) *harness.Host {
	t.Helper()
	management, err := topology.Lab.Host(t.Context(), "management")
	require.NoError(t, err)
	require.NoError(t, topology.Lab.Link(
		harness.End{Host: dc.Gateway, Addresses: []netip.Prefix{netip.MustParsePrefix("172.20.0.1/24")}},
		harness.End{Host: management, Addresses: []netip.Prefix{netip.MustParsePrefix(neededHost + "/24")}}, 1500))
	run(t, management, "ip route add default via 172.20.0.1")
	run(t, topology.Routers[0], "ip address add "+neededRouter+"/32 dev lo", "ip address add "+neededResolver+"/32 dev lo")
	run(t, dc.Gateway, "mkdir -p /run/systemd/resolve",
		fmt.Sprintf("ip route replace default via %s dev router1 onlink src %s", neededRouter, dc.Underlay.Addr()))
	require.NoError(t, dc.Gateway.WriteFile("/run/systemd/resolve/resolv.conf", []byte("nameserver "+neededResolver+"\n"), 0o644))
	return management
}

// requireNeeds requires that a gateway reaches what it needs.
func requireNeeds(t *testing.T, dc *harness.Datacenter) {
	t.Helper()
	for _, address := range []string{neededHost, neededResolver, neededRouter} {
		ping(t, dc.Gateway, address)
	}
	ping(t, dc.Workloads[0].Host, neededHost)
}

// signedAttacks are what a member tries with signed records: those of others, its own of
// another time, and valid ones that cover what others need.
var signedAttacks = []struct {
	name string
	run  func(t *testing.T, h *hostile)
}{
	{"it writes again what other gateways and datacenters signed earlier", func(t *testing.T, h *hostile) {
		for _, dc := range h.honest() {
			victim := h.with(t, dc)
			earlier := uint64(time.Now().Add(-time.Hour).UnixMilli())
			gateway := victim.signGateway(t, catalog.Gateway{
				Datacenter: victim.id.Datacenter(), Name: victim.id.Name(), PublicKey: catalog.Key{66}, Version: "devel", FeatureLevel: catalog.Level,
				Endpoints: []string{h.dc.Underlay.Addr().String() + ":51820"}, Controls: []string{controlOf(h.dc)},
			}, earlier)
			h.requireRefused(t, catalog.NewUpdateGateway(gateway), catalog.NewAddGateway(gateway),
				catalog.NewUpdateDatacenter(victim.signDatacenter(t, victim.datacenter(dc.Pods), earlier)))
		}
	}},
	{"it writes again what it signed itself before it changed it", func(t *testing.T, h *hostile) {
		h.pauseAgent(t)
		before := h.signDatacenter(t, h.announcing("172.31.66.0/24"), uint64(time.Now().UnixMilli()))
		h.announce(t, "172.31.67.0/24")
		h.requireAccepted(t, catalog.NewUpdateDatacenter(before))
		for _, dc := range h.honest() {
			h.awaitReport(t, dc, trust.SignatureOutdated, "datacenter "+h.dc.Name)
			assert.Error(t, routed(t.Context(), dc, "172.31.66.1", "mesh0"), "%s uses the earlier record", dc.Name)
			assert.NoError(t, routed(t.Context(), dc, "172.31.67.1", "mesh0"), "%s keeps to the later record", dc.Name)
		}
		h.announce(t)
	}},
	{"it adds a gateway again that it removed, with the record from before", func(t *testing.T, h *hostile) {
		h.pauseAgent(t)
		member := h.id
		sibling := catalog.NewGatewayID(member.Datacenter(), "revoked")
		record := catalog.Gateway{
			Datacenter: sibling.Datacenter(), Name: sibling.Name(), PublicKey: catalog.Key{69}, Version: "devel", FeatureLevel: catalog.Level,
			Endpoints: []string{h.dc.Underlay.Addr().String() + ":51999"}, Controls: []string{controlOf(h.dc)},
		}
		added := h.requireAccepted(t, catalog.NewAddGateway(record))[0].Gateway
		record.Index, record.Overlay = added.Index, added.Overlay
		signed := h.signGateway(t, record, uint64(time.Now().UnixMilli()))
		h.requireAccepted(t, catalog.NewAddGateway(signed))
		for _, dc := range h.honest() {
			h.awaitGateway(t, dc, sibling, true)
		}
		h.requireAccepted(t, catalog.NewRemoveGateway(sibling))
		for _, dc := range h.honest() {
			h.awaitGateway(t, dc, sibling, false)
		}
		h.requireAccepted(t, catalog.NewAddGateway(signed))
		for _, dc := range h.honest() {
			h.awaitReport(t, dc, trust.SignatureOutdated, "gateway "+string(sibling))
			h.awaitGateway(t, dc, sibling, false)
		}
		h.requireAccepted(t, catalog.NewRemoveGateway(sibling))
	}},
	{"it announces private ranges that cover what the host of another needs", func(t *testing.T, h *hostile) {
		h.pauseAgent(t)
		victim := h.honest()[0]
		requireNeeds(t, victim)
		h.announce(t, neededRange, neededNetwork, neededHost+"/32", neededResolver+"/32", neededRouter+"/32")
		requireNeeds(t, victim)
		for _, address := range []string{neededHost, neededResolver, neededRouter} {
			assert.Error(t, routed(t.Context(), victim, address, "mesh0"), address)
		}
		assert.Equal(t, plan.Error, awaitProblem(t, victim, "prefix-local").Severity)
		h.announce(t) // what it announced stays guarded
		requireNeeds(t, victim)
	}},
}

// lastSignedAttack makes records of its own that nothing can follow.
func lastSignedAttack(t *testing.T, h *hostile) {
	h.pauseAgent(t)
	record := h.announcing("172.31.68.0/24")
	h.announced = append(h.announced, netip.MustParsePrefix("172.31.68.0/24"))
	h.requireAccepted(t, catalog.NewUpdateDatacenter(h.signDatacenter(t, record, math.MaxUint64)))
	own := h.ownRecord(t)
	own.PublicKey, own.Endpoints, own.Controls = catalog.Key{70}, []string{h.dc.Underlay.Addr().String() + ":51820"}, []string{controlOf(h.dc)}
	h.requireAccepted(t, catalog.NewUpdateGateway(h.signGateway(t, own, math.MaxUint64)))
	for _, dc := range h.honest() {
		eventually(t, timeout, dc.Name+" has the last record of the program", func(ctx context.Context) error { return h.has(ctx, dc, "172.31.68.0/24") })
	}
}

func (h *hostile) signGateway(t *testing.T, g catalog.Gateway, version uint64) catalog.Gateway {
	t.Helper()
	certificate, err := h.ca.Issue(g.Name, h.federation, time.Now())
	require.NoError(t, err)
	signed, err := trust.SignGateway(certificate, h.federation, g, version)
	require.NoError(t, err)
	return signed
}

func (h *hostile) signDatacenter(t *testing.T, dc catalog.Datacenter, version uint64) catalog.Datacenter {
	t.Helper()
	certificate, err := h.ca.Issue(h.id.Name(), h.federation, time.Now())
	require.NoError(t, err)
	dc.Ordinal, dc.JoinedAt = h.assigned(t)
	signed, err := trust.SignDatacenter(certificate, h.federation, dc, version)
	require.NoError(t, err)
	return signed
}

// announcing returns the record of the program's datacenter with more prefixes.
func (h *hostile) announcing(more ...string) catalog.Datacenter {
	record := h.datacenter(h.dc.Pods)
	record.Prefixes = append(record.Prefixes, catalog.Prefix{CIDR: h.dc.Pods6, Kind: catalog.PodPrefix}, catalog.Prefix{CIDR: h.dc.Services, Kind: catalog.ServicePrefix})
	for _, cidr := range more {
		record.Prefixes = append(record.Prefixes, catalog.Prefix{CIDR: netip.MustParsePrefix(cidr), Kind: catalog.PodPrefix})
	}
	slices.SortFunc(record.Prefixes, func(a, b catalog.Prefix) int { return a.CIDR.Compare(b.CIDR) }) // as the catalog has them
	return record
}

// announce writes the signed record of the program's datacenter with more prefixes, and
// waits until the first one, or with none only those of before, is routed by the others.
func (h *hostile) announce(t *testing.T, more ...string) {
	t.Helper()
	record := h.signDatacenter(t, h.announcing(more...), uint64(time.Now().UnixMilli()))
	h.requireAccepted(t, catalog.NewUpdateDatacenter(record))
	for _, cidr := range more {
		h.announced = append(h.announced, netip.MustParsePrefix(cidr))
	}
	for _, dc := range h.honest() {
		eventually(t, timeout, fmt.Sprintf("%s has the ranges %v", dc.Name, more), func(ctx context.Context) error {
			return h.routesOwn(ctx, dc, more)
		})
	}
}

// routesOwn returns an error unless a gateway sends to the program what is in the first of
// the ranges, and nothing else that it ever announced.
func (h *hostile) routesOwn(ctx context.Context, dc *harness.Datacenter, ranges []string) error {
	for _, p := range h.announced {
		address := p.Addr().Next()
		if p.String() == neededRange {
			address = netip.MustParseAddr(notNeeded)
		}
		err := routed(ctx, dc, address.String(), "mesh0")
		switch {
		case len(ranges) > 0 && ranges[0] == p.String() && err != nil:
			return err
		case len(ranges) == 0 && err == nil:
			return fmt.Errorf("%s is still routed", p)
		}
	}
	return nil
}

// own reports whether a destination is one of the program's datacenters.
func (h *hostile) own(destination string) bool {
	p, err := netip.ParsePrefix(destination)
	if err != nil {
		a, err := netip.ParseAddr(destination)
		if err != nil {
			return false
		}
		p = netip.PrefixFrom(a, a.BitLen())
	}
	ranges := append(slices.Clone(h.announced), h.dc.Pods, h.dc.Services, netip.MustParsePrefix(ghostRange))
	return slices.ContainsFunc(ranges, func(r netip.Prefix) bool { return r.Bits() <= p.Bits() && r.Contains(p.Addr()) })
}

// assigned returns what the catalog assigned to the program's datacenter.
func (h *hostile) assigned(t *testing.T) (ordinal uint32, joined time.Time) {
	t.Helper()
	snapshot, err := h.honest()[0].Status(t.Context())
	require.NoError(t, err)
	for _, dc := range snapshot.Datacenters {
		if dc.Name == string(h.id.Datacenter()) {
			return dc.Ordinal, dc.JoinedAt
		}
	}
	require.Fail(t, "the datacenter is not listed")
	return 0, time.Time{}
}

// awaitReport waits until the status of a gateway has a problem of a kind.
func (h *hostile) awaitReport(t *testing.T, at *harness.Datacenter, kind trust.Kind, subject string) {
	t.Helper()
	eventually(t, timeout, fmt.Sprintf("%s reports %s of %s", at.Name, kind, subject), func(ctx context.Context) error {
		snapshot, err := at.Status(ctx)
		if err == nil && !slices.ContainsFunc(snapshot.Problems, func(p plan.Problem) bool { return p.Code == string(kind) && p.Subject == subject }) {
			err = fmt.Errorf("the problems are %v", snapshot.Problems)
		}
		return err
	})
}

// awaitGateway waits until a gateway has a lane to another one, or has none.
func (h *hostile) awaitGateway(t *testing.T, at *harness.Datacenter, id catalog.GatewayID, lane bool) {
	t.Helper()
	eventually(t, timeout, fmt.Sprintf("%s has a lane to %s: %t", at.Name, id, lane), func(ctx context.Context) error {
		out, err := at.Gateway.Exec(ctx, "ip", "-o", "link", "show")
		if err == nil && strings.Contains(out, "mesh1:") != lane {
			err = errors.New(out)
		}
		return err
	})
}

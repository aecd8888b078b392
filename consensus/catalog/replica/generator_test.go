package replica_test

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/catalogpb"
	"github.com/meshway/meshway/consensus/catalog/replica"
)

// generator creates random valid and invalid commands of members. It uses few names,
// so that the commands affect the same records.
type generator struct {
	t   testing.TB
	r   *rand.Rand
	now time.Time

	state    *replica.State // after the entries so far
	index    uint64         // of the last entry
	sequence uint64
	tokens   int
	ca       map[string]catalog.Datacenter
}

func newGenerator(t testing.TB, r *rand.Rand) *generator {
	gen := &generator{t: t, r: r, now: start(), state: replica.New(), ca: make(map[string]catalog.Datacenter)}
	for i := range 5 {
		name := fmt.Sprint("dc", i)
		gen.ca[name] = testDatacenter(t, name, fmt.Sprintf("10.%d.0.0/16", i))
	}
	return gen
}

func (gen *generator) pick(s string) string { return fmt.Sprint(s, gen.r.IntN(5)) }

func (gen *generator) token() string { return fmt.Sprint("t", gen.tokens-gen.r.IntN(3)) }

func (gen *generator) gateway(dc string) catalog.Gateway {
	return testGateway(dc, fmt.Sprint("gw", gen.r.IntN(3)))
}

func (gen *generator) datacenter() catalog.Datacenter {
	dc := gen.ca[gen.pick("dc")]
	if gen.r.IntN(4) == 0 {
		dc.Prefixes = gen.ca[gen.pick("dc")].Prefixes
	}
	return dc
}

func (gen *generator) service(dc string) catalog.Service {
	s := testService(dc, gen.pick("s"), gen.pick("i"), fmt.Sprintf("10.%d.0.1", gen.r.IntN(5)))
	if gen.r.IntN(5) > 0 {
		s.Address = gen.ca[dc].Prefixes[0].CIDR.Addr().Next()
	}
	s.Owner = ""
	for i := range gen.r.IntN(8) {
		s.Labels[fmt.Sprint("l", i)] = fmt.Sprint(gen.r.IntN(3))
	}
	return s
}

func (gen *generator) export(dc string) catalog.Export {
	e := testExport(dc, gen.pick("s"))
	e.TrafficDistribution = gen.pick("t")
	return e
}

func (gen *generator) slice(dc string) catalog.EndpointSlice {
	s := testSlice(dc, gen.pick("s"), gen.pick("slice"))
	for range gen.r.IntN(3) {
		s.Endpoints = append(s.Endpoints, catalog.Endpoint{Address: gen.service(dc).Address, Ready: gen.r.IntN(2) == 0})
	}
	return s
}

func (gen *generator) body(dc string) *catalogpb.Command {
	switch gen.r.IntN(20) {
	case 0:
		return catalog.NewInit(testFederation("fd12:3456:789a::/48"), gen.ca[dc], gen.gateway(dc))
	case 1, 2:
		gen.tokens++
		return catalog.NewCreateToken(catalog.Token{
			ID: fmt.Sprint("t", gen.tokens), SecretHash: [32]byte{1}, ExpiresAt: gen.now.Add(time.Hour),
		})
	case 3:
		return catalog.NewRevokeToken(gen.token())
	case 4, 5:
		d := gen.datacenter()
		return catalog.NewJoin(catalog.JoinRequest{
			TokenID: gen.token(), SecretHash: [32]byte{1}, FederationID: federationID,
			Datacenter: d, Gateway: testGateway(string(d.Name), "gw0"),
		})
	case 6:
		if gen.r.IntN(16) == 0 {
			return catalog.NewLeave(catalog.DatacenterName(dc))
		}
		if gen.r.IntN(16) == 0 {
			return catalog.NewRemoveDatacenter(catalog.DatacenterName(gen.pick("dc")), false)
		}
		return catalog.NewUpdateDatacenter(gen.datacenter())
	case 7:
		return catalog.NewAddGateway(gen.gateway(dc))
	case 8:
		g := gen.gateway(dc)
		g.Version, g.Draining = gen.pick("v"), gen.r.IntN(2) == 0
		return catalog.NewUpdateGateway(g)
	case 9:
		return catalog.NewRemoveGateway(gen.gateway(dc).ID())
	case 10:
		return catalog.NewDeleteServices([]catalog.ServiceKey{gen.service(dc).ServiceKey, gen.service(dc).ServiceKey})
	case 11:
		return catalog.NewPutObservations([]catalog.Observation{{
			Peer: gen.gateway(gen.pick("dc")).ID(), Endpoint: netip.MustParseAddrPort("192.0.2.1:1"),
		}})
	case 12, 13:
		return catalog.NewPutExports([]catalog.Export{gen.export(dc), gen.export(dc)})
	case 14, 15, 16:
		return catalog.NewPutEndpoints([]catalog.EndpointSlice{gen.slice(dc)})
	case 17:
		if gen.r.IntN(3) == 0 {
			return catalog.NewDeleteExports([]catalog.ExportKey{gen.export(dc).ExportKey})
		}
		return catalog.NewDeleteEndpoints([]catalog.EndpointSliceKey{gen.slice(dc).EndpointSliceKey})
	}
	return catalog.NewPutServices([]catalog.Service{gen.service(dc), gen.service(dc)})
}

// author returns a member in most cases; commands of others are refused.
func (gen *generator) author() catalog.Gateway {
	all := gen.state.View().Gateways()
	if len(all) == 0 || gen.r.IntN(10) == 0 {
		return gen.gateway(gen.pick("dc"))
	}
	return all[gen.r.IntN(len(all))]
}

func (gen *generator) command() *catalogpb.Command {
	author := gen.author()
	cmd := gen.body(string(author.Datacenter))
	cmd.Author = string(author.ID())
	gen.now = gen.now.Add(time.Duration(gen.r.IntN(int(time.Minute))))
	if gen.r.IntN(100) == 0 {
		gen.now = gen.now.Add(30 * time.Hour)
	}
	cmd.At = timestamppb.New(gen.now)
	if gen.r.IntN(3) > 0 {
		// Some sequences are late, some are repeated, and few are already acknowledged.
		gen.sequence++
		cmd.Client, cmd.Sequence = gen.pick("c"), gen.sequence+uint64(gen.r.IntN(40))
		cmd.Acknowledged = max(gen.sequence, 30) - 30
	}
	return cmd
}

// entry creates the next entry of a random log, applies it to the generator's state
// and returns it with its results.
func (gen *generator) entry() ([]byte, []catalog.Result) {
	gen.t.Helper()
	cmds := make([]*catalogpb.Command, 0, 4)
	for range 1 + gen.r.IntN(4) {
		cmds = append(cmds, gen.command())
	}
	entry, err := catalog.Marshal(cmds...)
	require.NoError(gen.t, err)
	gen.index++
	results, err := gen.state.Apply(gen.index, entry)
	require.NoError(gen.t, err)
	return entry, results
}

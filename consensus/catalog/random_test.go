package catalog_test

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
)

// walker makes commands of members that do sensible and senseless things, from
// few names so that they meet.
type walker struct {
	t   testing.TB
	r   *rand.Rand
	now time.Time

	state    *catalog.State // where the log has led so far
	sequence uint64
	tokens   int
	ca       map[string]catalog.Datacenter
}

func newWalker(t testing.TB, r *rand.Rand) *walker {
	w := &walker{t: t, r: r, now: start(), state: catalog.New(), ca: make(map[string]catalog.Datacenter)}
	for i := range 5 {
		name := fmt.Sprint("dc", i)
		w.ca[name] = theDatacenter(t, name, fmt.Sprintf("10.%d.0.0/16", i))
	}
	return w
}

func (w *walker) pick(s string) string { return fmt.Sprint(s, w.r.IntN(5)) }

func (w *walker) token() string { return fmt.Sprint("t", w.tokens-w.r.IntN(3)) }

func (w *walker) gateway(dc string) catalog.Gateway {
	return theGateway(dc, fmt.Sprint("gw", w.r.IntN(3)))
}

func (w *walker) datacenter() catalog.Datacenter {
	dc := w.ca[w.pick("dc")]
	if w.r.IntN(4) == 0 {
		dc.Prefixes = w.ca[w.pick("dc")].Prefixes
	}
	return dc
}

func (w *walker) service(dc string) catalog.Service {
	s := theService(dc, w.pick("s"), w.pick("i"), fmt.Sprintf("10.%d.0.1", w.r.IntN(5)))
	if w.r.IntN(5) > 0 {
		s.Address = w.ca[dc].Prefixes[0].CIDR.Addr().Next()
	}
	s.Owner = ""
	for i := range w.r.IntN(8) {
		s.Labels[fmt.Sprint("l", i)] = fmt.Sprint(w.r.IntN(3))
	}
	return s
}

func (w *walker) export(dc string) catalog.Export {
	e := theExport(dc, w.pick("s"))
	e.TrafficDistribution = w.pick("t")
	return e
}

func (w *walker) slice(dc string) catalog.EndpointSlice {
	s := theSlice(dc, w.pick("s"), w.pick("slice"))
	for range w.r.IntN(3) {
		s.Endpoints = append(s.Endpoints, catalog.Endpoint{Address: w.service(dc).Address, Ready: w.r.IntN(2) == 0})
	}
	return s
}

func (w *walker) body(dc string) *catalogpb.Command {
	switch w.r.IntN(20) {
	case 0:
		return catalog.NewInit(theFederation("fd12:3456:789a::/48"), w.ca[dc], w.gateway(dc))
	case 1, 2:
		w.tokens++
		return catalog.NewCreateToken(catalog.Token{
			ID: fmt.Sprint("t", w.tokens), SecretHash: [32]byte{1}, ExpiresAt: w.now.Add(time.Hour),
		})
	case 3:
		return catalog.NewRevokeToken(w.token())
	case 4, 5:
		d := w.datacenter()
		return catalog.NewJoin(catalog.JoinRequest{
			TokenID: w.token(), SecretHash: [32]byte{1}, FederationID: federationID,
			Datacenter: d, Gateway: theGateway(string(d.Name), "gw0"),
		})
	case 6:
		if w.r.IntN(16) == 0 {
			return catalog.NewLeave(catalog.DatacenterName(dc))
		}
		if w.r.IntN(16) == 0 {
			return catalog.NewRemoveDatacenter(catalog.DatacenterName(w.pick("dc")), false)
		}
		return catalog.NewUpdateDatacenter(w.datacenter())
	case 7:
		return catalog.NewAddGateway(w.gateway(dc))
	case 8:
		g := w.gateway(dc)
		g.Version, g.Draining = w.pick("v"), w.r.IntN(2) == 0
		return catalog.NewUpdateGateway(g)
	case 9:
		return catalog.NewRemoveGateway(w.gateway(dc).ID())
	case 10:
		return catalog.NewDeleteServices([]catalog.ServiceKey{w.service(dc).ServiceKey, w.service(dc).ServiceKey})
	case 11:
		return catalog.NewPutObservations([]catalog.Observation{{
			Peer: w.gateway(w.pick("dc")).ID(), Endpoint: netip.MustParseAddrPort("192.0.2.1:1"),
		}})
	case 12, 13:
		return catalog.NewPutExports([]catalog.Export{w.export(dc), w.export(dc)})
	case 14, 15, 16:
		return catalog.NewPutEndpoints([]catalog.EndpointSlice{w.slice(dc)})
	case 17:
		if w.r.IntN(3) == 0 {
			return catalog.NewDeleteExports([]catalog.ExportKey{w.export(dc).ExportKey})
		}
		return catalog.NewDeleteEndpoints([]catalog.EndpointSliceKey{w.slice(dc).EndpointSliceKey})
	}
	return catalog.NewPutServices([]catalog.Service{w.service(dc), w.service(dc)})
}

// author is mostly a member; a stranger makes nothing happen.
func (w *walker) author() catalog.Gateway {
	all := w.state.View().Gateways()
	if len(all) == 0 || w.r.IntN(10) == 0 {
		return w.gateway(w.pick("dc"))
	}
	return all[w.r.IntN(len(all))]
}

func (w *walker) command() *catalogpb.Command {
	author := w.author()
	cmd := w.body(string(author.Datacenter))
	cmd.Author = string(author.ID())
	w.now = w.now.Add(time.Duration(w.r.IntN(int(time.Minute))))
	if w.r.IntN(100) == 0 {
		w.now = w.now.Add(30 * time.Hour)
	}
	cmd.At = timestamppb.New(w.now)
	if w.r.IntN(3) > 0 {
		w.sequence++ // around it: some come late, some twice, few after they were acknowledged
		cmd.Client, cmd.Sequence = w.pick("c"), w.sequence+uint64(w.r.IntN(40))
		cmd.Acknowledged = max(w.sequence, 30) - 30
	}
	return cmd
}

// log makes the entries of a random log.
func (w *walker) log(entries int) [][]byte {
	w.t.Helper()
	log := make([][]byte, 0, entries)
	for i := range entries {
		cmds := make([]*catalogpb.Command, 0, 4)
		for range 1 + w.r.IntN(4) {
			cmds = append(cmds, w.command())
		}
		entry, err := catalog.Marshal(cmds...)
		require.NoError(w.t, err)
		_, err = w.state.Apply(uint64(i+1), entry)
		require.NoError(w.t, err)
		log = append(log, entry)
	}
	return log
}

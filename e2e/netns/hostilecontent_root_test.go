//go:build linux && root

package netns_test

import (
	"context"
	"fmt"
	"math"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/meshway/meshway/agent/control/controlpb"
	"github.com/meshway/meshway/consensus"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/catalogpb"
	"github.com/meshway/meshway/e2e/harness"
)

// contentAttacks are what a member tries with as much as it may have and request, and with
// numbers that it chooses. They use up what it may change.
var contentAttacks = []struct {
	name string
	run  func(t *testing.T, h *hostile)
}{
	{"it moves the leadership in a loop", func(t *testing.T, h *hostile) {
		moved := 0
		for i := range 20 {
			to := h.ids[h.honest()[i%3]]
			if h.operate(t, &controlpb.LeaderOperationRequest{Operation: &controlpb.LeaderOperationRequest_TransferLeader{
				TransferLeader: &controlpb.TransferLeader{To: string(to)},
			}}) == nil {
				moved++
			}
		}
		assert.LessOrEqual(t, moved, 6)
	}},
	{"it observes the others at other addresses", func(t *testing.T, h *hostile) { h.observe(t) }},
	{"it announces as many prefixes as it may", func(t *testing.T, h *hostile) {
		h.pauseAgent(t)
		h.announced = append(h.announced, netip.MustParsePrefix("172.28.0.0/16"))
		var more []string
		for i := range 2900 { // what a command of 64 KiB has room for
			more = append(more, fmt.Sprintf("172.28.%d.%d/32", i>>8, i&255))
		}
		h.requireAccepted(t, catalog.NewUpdateDatacenter(h.signDatacenter(t, h.announcing(more...), uint64(time.Now().UnixMilli()))))
		h.requireRefused(t, catalog.NewUpdateDatacenter(h.announcing(slices.Concat(more, more)...)))
		for _, dc := range h.honest() {
			eventually(t, timeout, dc.Name+" has the prefixes", func(ctx context.Context) error { return h.has(ctx, dc, more[len(more)-1]) })
		}
		h.announce(t)
	}},
	{"it fills its quotas of exports, slices and endpoints", func(t *testing.T, h *hostile) {
		names := func(i int) (many []string) {
			for k := range 400 {
				many = append(many, fmt.Sprintf("e-%d-%d", i, k))
			}
			return many
		}
		h.fill(t, "exports", 1, func(i int) *catalogpb.Command {
			var exports []catalog.Export
			for _, name := range names(i) {
				e := exportOf(h.dc, time.Unix(0, 0))
				e.Name = name
				exports = append(exports, e)
			}
			return catalog.NewPutExports(exports)
		})
		key := exportOf(h.dc, time.Now()).ExportKey
		key.Name = "e-0-0"
		h.fill(t, "endpoints", 25, func(i int) *catalogpb.Command {
			slice := catalog.EndpointSlice{EndpointSliceKey: catalog.EndpointSliceKey{ExportKey: key, Slice: fmt.Sprint("large-", i)}, Ports: exportOf(h.dc, time.Now()).Ports}
			for k := range catalog.MaxSliceEndpoints {
				slice.Endpoints = append(slice.Endpoints, catalog.Endpoint{Address: netip.AddrFrom4([4]byte{10, h.dc.Pods.Addr().As4()[1], byte(i), byte(k)}), Ready: true})
			}
			return catalog.NewPutEndpoints([]catalog.EndpointSlice{slice})
		})
		h.fill(t, "slices", 1, func(i int) *catalogpb.Command {
			var list []catalog.EndpointSlice
			for _, name := range names(i) {
				list = append(list, catalog.EndpointSlice{EndpointSliceKey: catalog.EndpointSliceKey{ExportKey: key, Slice: name}, Ports: exportOf(h.dc, time.Now()).Ports})
			}
			return catalog.NewPutEndpoints(list)
		})
		for i := range 13 { // with their slices
			var keys []catalog.ExportKey
			for _, name := range names(i) {
				k := key
				k.Name = name
				keys = append(keys, k)
			}
			_, err := h.apply(t, catalog.NewDeleteExports(keys))
			require.NoError(t, err)
		}
	}},
	{"it exports what no cluster can import, under the names of others", func(t *testing.T, h *hostile) {
		first := h.honest()[0]
		victim := h.with(t, first)
		bad := exportOf(h.dc, time.Unix(0, 0))
		bad.Labels = map[string]string{"-/ü not a key": strings.Repeat("x", 300), "kubernetes.io/metadata.name": "kube-system"}
		bad.Annotations, bad.TrafficDistribution = bad.Labels, "\x00unknown"
		_, err := h.apply(t, catalog.NewPutExports([]catalog.Export{bad}))
		require.NoError(t, err)
		victim.requireAccepted(t, catalog.NewPutExports([]catalog.Export{exportOf(first, time.Now())}))
		assert.Contains(t, h.createdAt(t, "shop", "cart"), first.Name)
		victim.requireAccepted(t, catalog.NewDeleteExports([]catalog.ExportKey{exportOf(first, time.Now()).ExportKey}))
	}},
	{"it admits as many datacenters as it may, and they replace what is remembered of the writes of others", func(t *testing.T, h *hostile) {
		first := h.honest()[0]
		victim := h.with(t, first)
		mirrored := exportOf(first, time.Now())
		mirrored.Name, mirrored.Mirror = "cart-ghost", true
		victim.requireAccepted(t, catalog.NewPutExports([]catalog.Export{mirrored}))
		e := exportOf(first, time.Now())
		e.Name = "deduplicated"
		old, client := catalog.NewPutExports([]catalog.Export{e}), string(victim.id)+"#victim"
		before := victim.write(t, client, 1, 0, old)
		victim.write(t, client, 2, 0, catalog.NewDeleteExports([]catalog.ExportKey{e.ExportKey}))

		ghosts := h.inviteAll(t)
		ghosts[0].requireMirrorIsLater(t, mirrored)
		clients := 0
		for _, g := range ghosts {
			clients += g.fillClients(t)
		}
		t.Logf("%d datacenters were admitted and have written as %d clients", len(ghosts), clients)
		assert.Greater(t, clients, 3000)
		h.write(t, client, math.MaxUint64-1, math.MaxUint64-2, h.putService("deduplicated", nil)) // another author's client of that name

		assert.Equal(t, before.Index, victim.write(t, client, 1, 0, old).Index, "the old write was applied again")
		assert.Empty(t, h.createdAt(t, e.Namespace, e.Name))
		victim.requireAccepted(t, catalog.NewDeleteExports([]catalog.ExportKey{mirrored.ExportKey}))
		for _, g := range ghosts {
			leave := catalog.NewLeave(g.id.Datacenter())
			leave.Client = g.client(0) // it may have no other
			g.requireAccepted(t, leave)
		}
		for _, dc := range h.honest() {
			eventually(t, timeout, dc.Name+" lists only those of before", func(ctx context.Context) error { return listed(ctx, dc, len(h.topology.Datacenters)) })
		}
	}},
	{"it enrols as many gateways as it may, and removes and enrols them in a loop", func(t *testing.T, h *hostile) { h.enrolInALoop(t) }},
	{"it signs the last version of its records", lastSignedAttack},
	// It fills the quota of clients, so that nothing else of it is accepted later.
	{"it updates its datacenter 1,024 times without an acknowledgement", func(t *testing.T, h *hostile) {
		refused := 0
		address := h.dc.Pods.Addr()
		for range 16 {
			var batch []*catalogpb.Command
			for range 64 {
				address = address.Next() // each command changes the record, by another client
				record := h.datacenter(h.dc.Pods)
				record.Prefixes = append(record.Prefixes, catalog.Prefix{CIDR: netip.PrefixFrom(address, address.BitLen()), Kind: catalog.PodPrefix})
				command := catalog.NewUpdateDatacenter(record)
				command.Client = fmt.Sprintf("%s#%d", h.id, h.commands+uint64(len(batch)))
				batch = append(batch, command)
			}
			results, err := h.apply(t, batch...)
			require.NoError(t, err)
			for _, r := range results {
				if r.Refusal != nil {
					assert.Equal(t, catalog.CodeQuota, r.Refusal.Code, r.Refusal.Message)
					refused++
				}
			}
		}
		assert.NotZero(t, refused, "no limit was reached")
	}},
}

// fill sends commands, a number of them in a call, until one is refused for a quota.
func (h *hostile) fill(t *testing.T, what string, together int, command func(i int) *catalogpb.Command) {
	t.Helper()
	for i := 0; ; {
		require.Less(t, i, 2000, "%s were accepted", what)
		var batch []*catalogpb.Command
		for k := range together {
			batch = append(batch, command(i+k))
		}
		results, err := h.apply(t, batch...)
		require.NoError(t, err)
		for _, r := range results {
			if r.Refusal != nil {
				assert.Equal(t, catalog.CodeQuota, r.Refusal.Code, r.Refusal.Message)
				t.Logf("%s: %d commands were accepted; %s", what, i, r.Refusal.Message)
				return
			}
			i++
		}
	}
}

// has returns an error unless a gateway has a prefix of the program's datacenter.
func (h *hostile) has(ctx context.Context, at *harness.Datacenter, cidr string) error {
	snapshot, err := at.Status(ctx)
	if err != nil {
		return err
	}
	for _, dc := range snapshot.Datacenters {
		if dc.Name == h.dc.Name && strings.Contains(fmt.Sprint(dc.Prefixes), cidr) {
			return nil
		}
	}
	return fmt.Errorf("%s is not listed", cidr)
}

// write sends a command as a client with a sequence that it chooses.
func (h *hostile) write(t *testing.T, client string, sequence, acknowledged uint64, command *catalogpb.Command) (result catalog.Result) {
	t.Helper()
	require.NoError(t, h.callLeader(t, func(ctx context.Context, to catalog.GatewayID) error {
		c := proto.CloneOf(command)
		c.Author, c.At, c.Client, c.Sequence, c.Acknowledged = string(h.id), timestamppb.Now(), client, sequence, acknowledged
		results, err := h.port.Client().Apply(ctx, to, []*catalogpb.Command{c})
		if err == nil {
			result = results[0]
		}
		return err
	}))
	require.Nil(t, result.Refusal)
	return result
}

// observe states that each of the others is at an address of the program, and in the name
// of others that the program is.
func (h *hostile) observe(t *testing.T) {
	t.Helper()
	endpoint := func(i int) netip.AddrPort { return netip.AddrPortFrom(h.dc.Underlay.Addr(), uint16(1024+i)) }
	before := map[*harness.Datacenter]string{}
	for _, dc := range h.honest() {
		before[dc] = h.endpoints(t, dc)
		h.requireRefused(t, catalog.NewPutObservations([]catalog.Observation{{Observer: h.ids[dc], Peer: h.id, Endpoint: endpoint(0), At: time.Now()}}))
	}
	for i := range 20 {
		var batch []*catalogpb.Command
		for k := range 50 {
			for _, dc := range h.honest() {
				batch = append(batch, catalog.NewPutObservations([]catalog.Observation{{
					Peer: h.ids[dc], Endpoint: endpoint(50*i + k), At: time.Now().Add(100 * 365 * 24 * time.Hour),
				}}))
			}
		}
		_, err := h.apply(t, batch...)
		require.NoError(t, err)
	}
	for _, dc := range h.honest() {
		assert.Equal(t, before[dc], h.endpoints(t, dc), "%s sends elsewhere", dc.Name)
	}
}

// endpoints returns where a gateway sends what is for the other honest ones.
func (h *hostile) endpoints(t *testing.T, at *harness.Datacenter) string {
	t.Helper()
	snapshot, err := at.Status(t.Context())
	require.NoError(t, err)
	var text strings.Builder
	for _, dc := range snapshot.Datacenters {
		for _, g := range dc.Gateways {
			if dc.Name != h.dc.Name && !dc.Self {
				fmt.Fprintln(&text, g.ID, g.Endpoint)
			}
		}
	}
	return text.String()
}

// inviteAll admits datacenters until the leader refuses one.
func (h *hostile) inviteAll(t *testing.T) (ghosts []*hostile) {
	t.Helper()
	for i := 1; ; i++ {
		name := catalog.DatacenterName(fmt.Sprint("ghost-", i))
		if i == 1 {
			name = catalog.DatacenterName("ghost-" + h.honest()[0].Name) // for the names of mirrors
		}
		ghost, refusal := h.tryInvite(t, fmt.Sprint("hostile-", i), name, byte(i))
		if refusal != nil {
			assert.Equal(t, consensus.CodeTooManyRequests, refusal.Code, refusal.Message)
			require.NotEmpty(t, ghosts)
			h.requireOrdinals(t)
			return ghosts
		}
		ghosts = append(ghosts, ghost)
		require.Less(t, i, 20)
	}
}

// requireOrdinals requires that the ordinals are those that the catalog assigns in order.
func (h *hostile) requireOrdinals(t *testing.T) {
	t.Helper()
	snapshot, err := h.honest()[0].Status(t.Context())
	require.NoError(t, err)
	for _, dc := range snapshot.Datacenters {
		assert.Less(t, dc.Ordinal, uint32(64), dc.Name)
	}
}

// requireMirrorIsLater exports a service whose mirror has the name of another one.
func (h *hostile) requireMirrorIsLater(t *testing.T, other catalog.Export) {
	t.Helper()
	e := other
	e.Datacenter, e.Name, e.CreatedAt = h.id.Datacenter(), "cart", time.Unix(0, 0)
	require.Equal(t, other.MirrorName(), e.MirrorName())
	h.requireAccepted(t, catalog.NewPutExports([]catalog.Export{e}))
	first := h.createdAt(t, other.Namespace, other.Name)[string(other.Datacenter)]
	assert.True(t, h.createdAt(t, e.Namespace, e.Name)[string(e.Datacenter)].After(first))
}

// client returns the name of one of many clients of the program.
func (h *hostile) client(number int) string { return fmt.Sprintf("%s#%d", h.id, number) }

// fillClients writes as many clients, until one is refused, and returns how many were not.
func (h *hostile) fillClients(t *testing.T) (accepted int) {
	t.Helper()
	var batch []*catalogpb.Command
	for i := range 600 {
		command := h.putService("client", map[string]string{"number": fmt.Sprint(i)})
		command.GetPutServices().GetServices()[0].Address = fmt.Sprintf("10.66.%d.1", h.number)
		command.Client = h.client(i)
		batch = append(batch, command)
	}
	results, err := h.apply(t, batch...)
	require.NoError(t, err)
	for _, r := range results {
		if r.Refusal == nil {
			accepted++
		} else {
			require.Equal(t, catalog.CodeQuota, r.Refusal.Code, r.Refusal.Message)
		}
	}
	assert.Less(t, accepted, len(batch))
	return accepted
}

func listed(ctx context.Context, dc *harness.Datacenter, datacenters int) error {
	snapshot, err := dc.Status(ctx)
	if err == nil && len(snapshot.Datacenters) != datacenters {
		err = fmt.Errorf("%d are listed", len(snapshot.Datacenters))
	}
	return err
}

// signedSiblings is how many of the gateways that the program enrols have a record that the
// others use, each of which costs them an interface.
const signedSiblings = 4

// enrolInALoop enrols gateways until the quota is full, and then removes and enrols them
// until that is refused, too.
func (h *hostile) enrolInALoop(t *testing.T) {
	t.Helper()
	h.pauseAgent(t)
	record := func(i int) catalog.Gateway {
		return catalog.Gateway{
			Datacenter: h.id.Datacenter(), Name: fmt.Sprint("sibling-", i), PublicKey: catalog.Key{71, byte(i)}, Version: "devel", FeatureLevel: catalog.Level,
			Endpoints: []string{fmt.Sprintf("%s:%d", h.dc.Underlay.Addr(), 52000+i)}, Controls: []string{controlOf(h.dc)},
		}
	}
	enrolled := 0
	h.fill(t, "gateways", 1, func(i int) *catalogpb.Command {
		enrolled = i
		return catalog.NewAddGateway(record(i))
	})
	for i := range signedSiblings {
		g := record(i)
		added := h.requireAccepted(t, catalog.NewAddGateway(g))[0].Gateway
		g.Index, g.Overlay = added.Index, added.Overlay
		h.requireAccepted(t, catalog.NewAddGateway(h.signGateway(t, g, uint64(time.Now().UnixMilli()))))
	}
	for _, dc := range h.honest() {
		h.awaitGateway(t, dc, catalog.NewGatewayID(h.id.Datacenter(), "sibling-0"), true)
	}
	for i := 0; ; i++ {
		require.Less(t, i, 300, "changes were accepted")
		results, err := h.apply(t, catalog.NewRemoveGateway(catalog.NewGatewayID(h.id.Datacenter(), fmt.Sprint("sibling-", i%enrolled))), catalog.NewAddGateway(record(i%enrolled)))
		require.NoError(t, err)
		for _, r := range results {
			if r.Refusal != nil {
				assert.Equal(t, consensus.CodeTooManyRequests, r.Refusal.Code, r.Refusal.Message)
				t.Logf("%d gateways were enrolled, and %d removed and enrolled again", enrolled, i)
				return
			}
		}
	}
}

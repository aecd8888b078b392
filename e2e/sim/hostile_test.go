package sim

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/meshway/meshway/agent/control"
	"github.com/meshway/meshway/agent/control/controlpb"
	"github.com/meshway/meshway/agent/identity"
	"github.com/meshway/meshway/agent/member"
	"github.com/meshway/meshway/agent/trust"
	"github.com/meshway/meshway/consensus"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/catalogpb"
	"github.com/meshway/meshway/consensus/raftnode"
)

// hostile is a program with the data directory of a real gateway: it has the keys of
// one member and obeys only the rules of raft.
type hostile struct {
	node *raftnode.Node
	port *control.Port
}

// replaceByHostile stops the agent of g and starts a hostile program in its place.
func replaceByHostile(t *testing.T, g *gateway) *hostile {
	t.Helper()
	honest, err := g.agent.Member()
	require.NoError(t, err)
	view := honest.View()
	g.stop()
	store, err := identity.Open(g.cfg.DataDir)
	require.NoError(t, err)
	defer store.Close()
	ca, err := store.CA(g.cfg.Datacenter, time.Now())
	require.NoError(t, err)
	federation, _ := view.Federation()
	certifier := identity.NewCertifier(ca, g.cfg.Gateway, nil)
	certifier.SetFederation(federation.ID)
	addresses := func(id catalog.GatewayID) []string {
		other, _ := view.Gateway(id)
		return other.Controls
	}
	h := &hostile{}
	h.port = control.New(control.Config{
		Listen: g.cfg.Control.Listen, Certifier: certifier, Sockets: g.host, Service: control.Service{Admissions: h, Copies: h, Leadership: h, Consensus: h}, Addresses: addresses,
		CAs: func(dc catalog.DatacenterName) [][]byte {
			found, _ := view.Datacenter(dc)
			return [][]byte{found.CACertificate}
		},
		Gateways:   func(catalog.GatewayID) bool { return true },
		Replicates: func(catalog.GatewayID) bool { return true },
		Changed:    func() <-chan struct{} { return nil }, Sentinels: member.Sentinels(), Log: logger("hostile"),
	})
	h.node, err = raftnode.Open(raftnode.Config{
		ID: g.cfg.GatewayID(), Federation: federation.ID, Dir: store.RaftDir(), Timers: raftnode.LAN(), SnapshotThreshold: 1000,
		Network: h.port.Raft(), Remote: noRemote{}, Addresses: addresses, Log: logger("hostile"),
	})
	require.NoError(t, err)
	require.NoError(t, h.port.Listen(t.Context()))
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 2)
	go func() { ended <- h.node.Run(ctx) }()
	go func() { ended <- h.port.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		require.NoError(t, errors.Join(<-ended, <-ended))
	})
	return h
}

// lead waits until the program leads the catalog, through a member that transfers
// the leadership to it as any member may request.
func (h *hostile) lead(t *testing.T, honest *member.Member) {
	t.Helper()
	await(t, "the hostile program leads", func() bool {
		if h.node.Status().Role == "leader" {
			return true
		}
		_ = honest.TransferLeader(t.Context(), "east/gw")
		return false
	})
}

// write appends a command to the log in the name of any gateway.
func (h *hostile) write(t *testing.T, author catalog.GatewayID, command *catalogpb.Command) catalog.Result {
	t.Helper()
	command.Author, command.At = string(author), timestamppb.Now()
	command.Client, command.Sequence = "hostile#"+uuid.NewString(), 1
	results, err := h.node.ApplyForwarded(t.Context(), []*catalogpb.Command{command})
	require.NoError(t, err)
	return results[0]
}

// The calls of other members.

func (h *hostile) Join(context.Context, *controlpb.JoinRequest) (*controlpb.JoinResponse, error) {
	return nil, consensus.ErrRejected
}

func (h *hostile) Enrol(context.Context, catalog.Gateway, bool) (*controlpb.EnrolResponse, error) {
	return nil, consensus.ErrRejected
}

// Apply withholds the writes of all other members.
func (h *hostile) Apply(context.Context, []*catalogpb.Command) ([]catalog.Result, error) {
	return nil, consensus.ErrNoLeader
}

func (h *hostile) ReadIndex(ctx context.Context, lease bool) (uint64, error) {
	return h.node.ReadIndex(ctx, lease)
}

func (h *hostile) LeaderOperation(ctx context.Context, _ catalog.GatewayID, _ *controlpb.LeaderOperationRequest) error {
	return consensus.ErrRejected
}

func (h *hostile) Electorate() (*controlpb.ElectorateResponse, error) {
	return nil, consensus.ErrRejected
}

func (h *hostile) Identify([]byte) (*controlpb.IdentifyResponse, error) {
	return nil, consensus.ErrRejected
}

func (h *hostile) FindCopies(context.Context, catalog.GatewayID, *controlpb.FindCopiesRequest) (*controlpb.FindCopiesResponse, error) {
	return nil, consensus.ErrRejected
}

// noRemote is a consensus.Remote without calls: the hostile program is the leader.
type noRemote struct{}

func (noRemote) Apply(context.Context, catalog.GatewayID, []*catalogpb.Command) ([]catalog.Result, error) {
	return nil, consensus.ErrNotLeader
}

func (noRemote) ReadIndex(context.Context, catalog.GatewayID, bool) (uint64, error) {
	return 0, consensus.ErrNotLeader
}

func (noRemote) Electorate(context.Context, catalog.GatewayID) (consensus.Electorate, error) {
	return consensus.Electorate{}, consensus.ErrClosed
}

func (noRemote) LeaderOperation(context.Context, catalog.GatewayID, consensus.LeaderOperation) error {
	return consensus.ErrNotLeader
}

// peers describes the WireGuard peers of a gateway.
func (g *gateway) peers() string {
	var text strings.Builder
	for _, o := range g.observedTunnels() {
		for _, p := range o.Peers {
			allowed := slices.SortedFunc(slices.Values(p.AllowedIPs), netip.Prefix.Compare)
			fmt.Fprintln(&text, o.Name, p.PublicKey, p.Endpoint, allowed)
		}
	}
	return text.String()
}

// newHostileFederation federates east, west and north, and replaces east's agent by a
// hostile leader when all records are signed. honest is west's member.
func newHostileFederation(t *testing.T, sim *simulation) (west *gateway, honest *member.Member, h *hostile) {
	t.Helper()
	east, west, north := sim.datacenter("east", 1), sim.datacenter("west", 2), sim.datacenter("north", 3)
	federate(t, east, west, north)
	await(t, "all records are signed", func() bool { return west.signed(t) && north.signed(t) })
	honest, err := west.agent.Member()
	require.NoError(t, err)
	h = replaceByHostile(t, east)
	h.lead(t, honest)
	return west, honest, h
}

func TestHostileLeaderCannotImpersonateAnotherDatacenter(t *testing.T) {
	simulate(t, func(t *testing.T, sim *simulation) {
		west, honest, h := newHostileFederation(t, sim)
		time.Sleep(time.Minute)
		routes, peers := west.kernel.String(), west.peers()

		record, _ := honest.View().Gateway("north/gw")
		record.PublicKey, record.Endpoints = catalog.Key{66}, []string{"203.0.113.66:51820"}
		record.Signature.Version++
		require.Nil(t, h.write(t, "north/gw", catalog.NewUpdateGateway(record)).Refusal)
		dc, _ := honest.View().Datacenter("north")
		dc.Prefixes = append(dc.Prefixes, catalog.Prefix{CIDR: netip.MustParsePrefix("10.66.0.0/16"), Kind: catalog.PodPrefix})
		dc.Signature = catalog.Signature{}
		require.Nil(t, h.write(t, "north/gw", catalog.NewUpdateDatacenter(dc)).Refusal)
		await(t, "the forged records are in west's catalog", func() bool {
			forged, _ := honest.View().Gateway("north/gw")
			datacenter, _ := honest.View().Datacenter("north")
			return forged.PublicKey == record.PublicKey && datacenter.Signature.IsZero()
		})
		await(t, "west reports both", func() bool {
			_, invalid := problem(west, string(trust.SignatureInvalid))
			_, missing := problem(west, string(trust.SignatureMissing))
			return invalid && missing
		})
		assert.Equal(t, routes, west.kernel.String())
		assert.Equal(t, peers, west.peers())

		west.stop()
		west.start()
		time.Sleep(time.Minute)
		assert.Equal(t, peers, west.peers(), "after a restart")
		assert.Contains(t, problemCodes(west.agent.Status()), string(trust.SignatureInvalid))
	})
}

func TestHostileLeaderCannotReplaceADatacenterByItsOwn(t *testing.T) {
	simulate(t, func(t *testing.T, sim *simulation) {
		west, honest, h := newHostileFederation(t, sim)
		federation, _ := honest.View().Federation()
		former, _ := honest.View().Datacenter("north")
		ca, err := identity.NewCA("north", time.Now())
		require.NoError(t, err)
		secret := identity.SecretOf([32]byte{1})
		require.Nil(t, h.write(t, "east/gw", catalog.NewCreateToken(catalog.Token{
			ID: "forged", SecretHash: secret.Hash(), ExpiresAt: time.Now().Add(time.Hour),
		})).Refusal)
		require.Nil(t, h.write(t, "north/gw", catalog.NewLeave("north")).Refusal)
		routed := func() bool { return strings.Contains(west.kernel.String(), former.Prefixes[0].CIDR.String()+" nhid") }
		await(t, "west has removed the routes to north", func() bool { return !routed() })
		require.Nil(t, h.write(t, "east/gw", catalog.NewJoin(catalog.JoinRequest{
			TokenID: "forged", SecretHash: secret.Hash(), FederationID: federation.ID,
			Datacenter: catalog.Datacenter{Name: "north", CACertificate: ca.Certificate(), Prefixes: former.Prefixes},
			Gateway: catalog.Gateway{
				Datacenter: "north", Name: "gw", PublicKey: catalog.Key{66}, Version: "devel", FeatureLevel: catalog.Level,
				Endpoints: []string{"203.0.113.66:51820"}, Controls: []string{"203.0.113.66:7443"},
			},
		})).Refusal)
		await(t, "west reports that the pin is broken", func() bool {
			_, broken := problem(west, string(trust.PinBroken))
			return broken
		})
		time.Sleep(time.Minute)
		assert.NotContains(t, west.peers(), "203.0.113.66", "the traffic to north is withheld, not taken over")
		assert.False(t, routed())
	})
}

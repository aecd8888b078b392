package raftnode_test

import (
	"context"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/meshway/meshway/consensus"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/catalogpb"
	"github.com/meshway/meshway/consensus/consensustest"
)

// refusedCommands returns a command of each kind that a federation of dc0, dc1 and
// dc2 refuses to dc1/gw0, by the name of its field in catalogpb.Command.
func refusedCommands() map[protoreflect.Name]*catalogpb.Command {
	const own, foreign = catalog.DatacenterName("dc1"), catalog.DatacenterName("dc2")
	gateway := catalog.Gateway{Datacenter: foreign, Name: "gw0", PublicKey: catalog.Key{1}}
	service := consensustest.Key{Owner: "dc2/gw0", Name: "web"}.Set("x").GetPutServices().GetServices()
	export := catalog.ExportKey{Datacenter: foreign, Namespace: "default", Name: "web"}
	slice := catalog.EndpointSliceKey{ExportKey: export, Slice: "a"}
	_, join := consensustest.NewJoin("dc1/gw0", "dc7", "gw0")
	return map[protoreflect.Name]*catalogpb.Command{
		"init":              consensustest.NewInit("dc7", "gw0"),
		"create_token":      catalog.NewCreateToken(catalog.Token{ID: "t"}),
		"revoke_token":      catalog.NewRevokeToken("missing"),
		"join":              join,
		"leave":             catalog.NewLeave(foreign),
		"update_gateway":    catalog.NewUpdateGateway(gateway),
		"update_datacenter": catalog.NewUpdateDatacenter(catalog.Datacenter{Name: own, Prefixes: []catalog.Prefix{{CIDR: netip.MustParsePrefix("10.2.0.0/24"), Kind: catalog.PodPrefix}}}),
		"remove_gateway":    catalog.NewRemoveGateway("dc2/gw0"),
		"put_services":      {Version: 1, Body: &catalogpb.Command_PutServices{PutServices: &catalogpb.PutServices{Services: service}}},
		"delete_services":   catalog.NewDeleteServices([]catalog.ServiceKey{{Datacenter: foreign, Namespace: "default", Name: "web", Instance: "a"}}),
		"put_observations":  catalog.NewPutObservations([]catalog.Observation{{Peer: "dc9/gw0", Endpoint: netip.MustParseAddrPort("192.0.2.1:1")}}),
		"add_gateway":       catalog.NewAddGateway(gateway),
		"put_exports":       catalog.NewPutExports([]catalog.Export{{ExportKey: export}}),
		"delete_exports":    catalog.NewDeleteExports([]catalog.ExportKey{export}),
		"put_endpoints":     catalog.NewPutEndpoints([]catalog.EndpointSlice{{EndpointSliceKey: slice}}),
		"delete_endpoints":  catalog.NewDeleteEndpoints([]catalog.EndpointSliceKey{slice}),
		"remove_datacenter": catalog.NewRemoveDatacenter("dc9", true),
		"request_removal":   catalog.NewRequestRemoval("dc2"), // only the leader writes it
		"allow_prefixes":    catalog.NewAllowPrefixes([]netip.Prefix{netip.MustParsePrefix("0.0.0.0/0")}),
		"set_limits":        catalog.NewSetLimits([]catalog.Limit{{Resource: "none", Most: 1}}),
		"transfer_leader":   consensus.OperationCommand(consensus.LeaderOperation{Kind: consensus.TransferLeadership}),
		"remove_peer":       consensus.OperationCommand(consensus.LeaderOperation{Kind: consensus.RemoveMember, Target: "dc2/gw0"}),
	}
}

// acceptedCommands returns commands that change nothing when they are repeated.
func acceptedCommands() map[protoreflect.Name]*catalogpb.Command {
	const own = catalog.DatacenterName("dc1")
	key := consensustest.Key{Owner: "dc1/gw0", Name: "web"}
	export := catalog.Export{
		ExportKey: catalog.ExportKey{Datacenter: own, Namespace: "default", Name: "web"}, Type: catalog.ClusterSetIP,
		SessionAffinity: catalog.NoSessionAffinity, Affinity: catalog.AffinityNone, CreatedAt: time.Unix(1, 0),
	}
	slice := catalog.EndpointSlice{EndpointSliceKey: catalog.EndpointSliceKey{ExportKey: export.ExportKey, Slice: "a"}}
	return map[protoreflect.Name]*catalogpb.Command{
		"update_gateway":    catalog.NewUpdateGateway(catalog.Gateway{Datacenter: own, Name: "gw0", PublicKey: catalog.Key{9}}),
		"update_datacenter": catalog.NewUpdateDatacenter(catalog.Datacenter{Name: own, Prefixes: []catalog.Prefix{{CIDR: netip.MustParsePrefix("10.1.0.0/16"), Kind: catalog.PodPrefix}}}),
		"put_services":      key.Set("x"),
		"delete_services":   catalog.NewDeleteServices([]catalog.ServiceKey{{Datacenter: own, Namespace: "default", Name: "none", Instance: "a"}}),
		"put_observations":  catalog.NewPutObservations([]catalog.Observation{{Peer: "dc0/gw0", Endpoint: netip.MustParseAddrPort("198.51.100.1:1"), At: time.Unix(1, 0)}}),
		"put_exports":       catalog.NewPutExports([]catalog.Export{export}),
		"put_endpoints":     catalog.NewPutEndpoints([]catalog.EndpointSlice{slice}),
		"delete_exports":    catalog.NewDeleteExports([]catalog.ExportKey{{Datacenter: own, Namespace: "default", Name: "none"}}),
		"delete_endpoints":  catalog.NewDeleteEndpoints([]catalog.EndpointSliceKey{{ExportKey: export.ExportKey, Slice: "none"}}),
	}
}

// repeat proposes a command ten times a second for some time, and returns the number
// of proposals and of entries in the log.
func repeat(t *testing.T, c *consensustest.Cluster, from *consensustest.Member, cmd *catalogpb.Command, refused bool, duration time.Duration) (proposals int, entries uint64) {
	t.Helper()
	before := c.Leader().Node.Status().CommitIndex
	for end := time.Now().Add(duration); time.Now().Before(end); proposals++ {
		time.Sleep(100 * time.Millisecond)
		results, err := from.Node.Propose(context.Background(), cmd)
		require.NoError(t, err)
		require.Equal(t, refused, results[0].Refusal != nil, "%v", results[0].Refusal)
	}
	return proposals, c.Leader().Node.Status().CommitIndex - before
}

func TestARefusedCommandThatAMemberRepeatsWritesNoEntries(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := consensustest.New(t, 3, consensustest.Options{})
		c.Network.Delay(time.Millisecond)
		commands := refusedCommands()
		bodies := new(catalogpb.Command).ProtoReflect().Descriptor().Oneofs().ByName("body").Fields()
		for i := range bodies.Len() {
			kind := bodies.Get(i).Name()
			cmd := commands[kind]
			require.NotNil(t, cmd, "no refused command of kind %s", kind)
			duration := 3 * time.Second
			if kind == "put_services" { // the kind matters to the decision only, not to what happens over time
				duration = time.Minute
			}
			for _, from := range []*consensustest.Member{c.Leader(), others(c, c.Leader())[0]} {
				cmd.Author = "dc1/gw0"
				proposals, entries := repeat(t, c, from, cmd, true, duration)
				assert.Greater(t, proposals, 2*int(duration.Seconds()))
				assert.Zero(t, entries, "%s: entries of %d proposals by %s", kind, proposals, from.ID)
			}
		}
	})
}

func TestACommandThatChangesNothingWritesNoEntries(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := consensustest.New(t, 3, consensustest.Options{})
		c.Network.Delay(time.Millisecond)
		for kind, cmd := range acceptedCommands() {
			if strings.HasSuffix(string(kind), "_endpoints") { // of an export
				_, err := c.Leader().Node.Propose(context.Background(), withAuthor(acceptedCommands()["put_exports"]))
				require.NoError(t, err)
				time.Sleep(time.Second) // its announcement is an entry too
			}
			_, entries := repeat(t, c, others(c, c.Leader())[0], withAuthor(cmd), false, 5*time.Second)
			assert.LessOrEqual(t, entries, uint64(2), "%s: the first proposal and its announcement", kind)
		}
	})
}

// A command that is in a call twice is not a retry of one whose outcome is open.
func TestACommandThatIsTwiceInACallWritesNoEntries(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := consensustest.New(t, 3, consensustest.Options{})
		key := consensustest.Key{Owner: "dc1/gw0", Name: "web"}
		write(t, c.Leader(), key, "x")
		for name, cmd := range map[string]*catalogpb.Command{"nothing": key.Set("x"), "refused": catalog.NewRevokeToken("none")} {
			cmd.Author, cmd.Client = "dc1/gw0", name
			before := c.Leader().Node.Status().CommitIndex
			for i := range 20 {
				cmd.At, cmd.Sequence = timestamppb.Now(), uint64(i+1) //nolint:gosec // not negative
				results, err := c.Leader().Node.ApplyForwarded(t.Context(), []*catalogpb.Command{cmd, proto.CloneOf(cmd), proto.CloneOf(cmd)})
				require.NoError(t, err)
				require.Len(t, results, 3)
				for _, r := range results {
					assert.Equal(t, name == "refused", r.Refusal != nil)
				}
			}
			time.Sleep(time.Second)
			assert.Equal(t, before, c.Leader().Node.Status().CommitIndex, name)
		}
	})
}

func withAuthor(cmd *catalogpb.Command) *catalogpb.Command {
	cmd.Author = "dc1/gw0"
	return cmd
}

func TestAGatewayWritesAfterItsClockWasSetBack(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := consensustest.New(t, 3, consensustest.Options{})
		m := others(c, c.Leader())[0]
		key := consensustest.Key{Owner: m.ID, Name: "web"}
		write(t, m, key, "before")
		write(t, m, key, "later")
		m.Node.StartedAt(time.Now().Add(-time.Minute))
		write(t, m, key, "after")
		assert.Equal(t, "after", key.Get(m.Node.View()))
	})
}

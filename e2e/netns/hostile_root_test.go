//go:build linux && root

package netns_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/meshway/meshway/agent/control/controlpb"
	"github.com/meshway/meshway/agent/identity"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/catalogpb"
	"github.com/meshway/meshway/consensus/catalog/replica"
	"github.com/meshway/meshway/consensus/catalog/succession"
	"github.com/meshway/meshway/e2e/harness"
)

// attacks are what a member tries with the keys of its own datacenter.
var attacks = []struct {
	name string
	run  func(t *testing.T, h *hostile)
}{
	{"it sends messages of raft without a vote, with a term that ends elections", func(t *testing.T, h *hostile) {
		h.forge(t, h.id, 1<<64-2)
	}},
	{"it sends messages of raft in the name of a voter", func(t *testing.T, h *hostile) {
		h.forge(t, h.ids[h.honest()[1]], 1<<40)
	}},
	{"it sends messages of raft as a gateway that the catalog does not contain", func(t *testing.T, h *hostile) {
		member := h.id
		h.as(t, catalog.NewGatewayID(h.id.Datacenter(), "ghost"))
		h.forge(t, h.id, 1<<40)
		h.as(t, member)
	}},
	{"it restores an archive that it has signed, and a snapshot without a federation", func(t *testing.T, h *hostile) {
		var empty bytes.Buffer
		require.NoError(t, replica.New().View().Encode(&empty))
		file := filepath.Join(t.TempDir(), "catalog.snapshot")
		meshctl(t, h.dc, "snapshot", "save", file)
		saved, err := os.ReadFile(file)
		require.NoError(t, err)
		member := h.id
		for refusal, archive := range map[string][]byte{
			"a snapshot can be restored on the host of the leader only": empty.Bytes(),
			"message size": saved, // no operation of a member is as large
		} {
			restore := &controlpb.LeaderOperationRequest{Operation: &controlpb.LeaderOperationRequest_RestoreSnapshot{
				RestoreSnapshot: &controlpb.RestoreSnapshot{Archive: archive},
			}}
			assert.ErrorContains(t, h.operate(t, restore), refusal)
			h.as(t, catalog.NewGatewayID(h.id.Datacenter(), "ghost")) // which no catalog has
			for _, dc := range h.honest() {
				err := h.port.Client().LeaderOperation(within(t, timeout), h.ids[dc], restore)
				require.Error(t, err, "by %s", dc.Name)
				assert.False(t, isUnreachable(err), "by %s: %v", dc.Name, err)
				assert.NotContains(t, err.Error(), "a snapshot can be restored", "%s reads the operation of a gateway that is in no catalog", dc.Name)
			}
			h.as(t, member)
		}
	}},
	{"it writes the records of other gateways and datacenters", func(t *testing.T, h *hostile) {
		for _, dc := range h.honest() {
			name := catalog.DatacenterName(dc.Name)
			_, gateway, _ := strings.Cut(string(h.ids[dc]), "/")
			forged := catalog.Gateway{
				Datacenter: name, Name: gateway, PublicKey: catalog.Key{66}, Version: "devel",
				Endpoints: []string{"203.0.113.66:51820"}, Controls: []string{"203.0.113.66:7443"},
			}
			taken := h.datacenter(dc.Pods)
			taken.Name = name
			for _, command := range []*catalogpb.Command{
				catalog.NewUpdateGateway(forged), catalog.NewAddGateway(forged), catalog.NewUpdateDatacenter(taken),
				catalog.NewRemoveGateway(h.ids[dc]), catalog.NewLeave(name),
			} {
				h.requireRefused(t, command)
			}
		}
	}},
	{"it announces prefixes that cover the underlay and the others", func(t *testing.T, h *hostile) {
		for _, cidr := range []string{"0.0.0.0/1", "192.0.0.0/4", "203.0.113.0/24", "198.51.100.0/24", "10.0.0.0/8", "10.11.1.0/24", "fd00::/8"} {
			h.requireRefused(t, catalog.NewUpdateDatacenter(h.datacenter(netip.MustParsePrefix(cidr))))
		}
	}},
	{"it joins another datacenter with the stored hash of a token", func(t *testing.T, h *hostile) {
		ca, err := identity.NewCA("ghost", time.Now())
		require.NoError(t, err)
		h.requireRefused(t, catalog.NewJoin(catalog.JoinRequest{
			TokenID: h.token, SecretHash: h.secret.Hash(), FederationID: h.federation,
			Datacenter: catalog.Datacenter{
				Name: "ghost", CACertificate: ca.Certificate(),
				Prefixes: []catalog.Prefix{{CIDR: netip.MustParsePrefix("10.66.0.0/16"), Kind: catalog.PodPrefix}},
			},
			Gateway: catalog.Gateway{
				Datacenter: "ghost", Name: "gw", PublicKey: catalog.Key{66}, Version: "devel",
				Endpoints: []string{"203.0.113.66:51820"}, Controls: []string{"203.0.113.66:7443"},
			},
		}))
	}},
	{"it fills its quota of services", func(t *testing.T, h *hostile) {
		require.NoError(t, h.dc.Agent.Pause()) // it would deregister what it has not registered
		defer func() { require.NoError(t, h.dc.Agent.Resume()) }()
		for i := 0; ; i++ {
			require.Less(t, i, 40, "20,000 services were accepted")
			var services []catalog.Service
			for k := range 500 {
				services = append(services, catalog.Service{
					ServiceKey: catalog.ServiceKey{Datacenter: h.id.Datacenter(), Namespace: "default", Name: fmt.Sprintf("s-%d-%d", i, k), Instance: "a"},
					Owner:      h.id, Address: h.dc.Workloads[0].Service, Ports: []catalog.Port{{Protocol: "tcp", Number: 80}},
				})
			}
			results, err := h.apply(t, catalog.NewPutServices(services))
			require.NoError(t, err)
			if refusal := results[0].Refusal; refusal != nil {
				assert.Equal(t, catalog.CodeQuota, refusal.Code, refusal.Message)
				return
			}
		}
	}},
	{"it holds 2,000 silent connections", func(t *testing.T, h *hostile) {
		for _, dc := range h.honest()[:2] {
			h.hold(t, dc, 1000).awaitClosed(t, dc, 64)
		}
	}},
	{"it opens 100 streams of raft to each of the others with its certificate", func(t *testing.T, h *hostile) {
		for _, dc := range h.honest() {
			h.streams(t, dc, 100).awaitClosed(t, dc, 64)
		}
	}},
	{"it connects to other programs on the gateways through its tunnels", func(t *testing.T, h *hostile) {
		const controlPort, otherPort = 7443, 9090
		for _, dc := range h.honest() {
			snapshot, err := dc.Status(t.Context())
			require.NoError(t, err)
			overlay, err := netip.ParseAddr(snapshot.Self.Overlay)
			require.NoError(t, err)
			server, err := dc.Gateway.Serve(within(t, timeout), otherPort, overlay)
			require.NoError(t, err)
			t.Cleanup(server.Kill)
			dial := func(port uint16) error {
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				conn, err := h.dc.Gateway.DialContext(ctx, "tcp", netip.AddrPortFrom(overlay, port).String())
				if err == nil {
					err = conn.Close()
				}
				return err
			}
			require.NoError(t, dial(controlPort), "the tunnel to %s works", dc.Name)
			assert.Error(t, dial(otherPort), "on %s", dc.Name)
		}
	}},
	{"it creates tokens until none is left", func(t *testing.T, h *hostile) {
		var batch []*catalogpb.Command
		for i := range 300 {
			batch = append(batch, catalog.NewCreateToken(catalog.Token{
				ID: fmt.Sprintf("hostile-%d", i), SecretHash: h.secret.Hash(), ExpiresAt: time.Now().Add(time.Hour),
			}))
		}
		results, err := h.apply(t, batch...)
		require.NoError(t, err)
		refusal := results[len(results)-1].Refusal
		require.NotNil(t, refusal, "300 tokens were accepted")
		assert.Equal(t, catalog.CodeQuota, refusal.Code, refusal.Message)
		_, err = identity.ParseToken(token(t, h.honest()[1]))
		require.NoError(t, err, "another datacenter creates a token")
	}},
	{"it states times at which the tokens of the others have expired, and were not created", func(t *testing.T, h *hostile) {
		for _, at := range []time.Duration{-24 * time.Hour, -11 * time.Minute, 11 * time.Minute, 30 * 365 * 24 * time.Hour} {
			command := catalog.NewUpdateDatacenter(h.datacenter(h.dc.Pods))
			command.At = timestamppb.New(time.Now().Add(at))
			h.requireRefused(t, command)
		}
	}},
	{"it raises limits beyond the highest, and removes ranges that others allow", func(t *testing.T, h *hostile) {
		public := netip.MustParsePrefix("198.18.0.0/24")
		meshctl(t, h.honest()[0], "federation", "allow", public.String())
		h.requireRefused(t,
			catalog.NewSetLimits([]catalog.Limit{{Resource: "services", Most: 1 << 40}}),
			catalog.NewSetLimits([]catalog.Limit{{Resource: "tokens", Most: 1 << 10}}),
			catalog.NewSetLimits([]catalog.Limit{{Resource: "services", Most: 1}}),
			catalog.NewAllowPrefixes([]netip.Prefix{netip.MustParsePrefix("0.0.0.0/1")}),
		)
		results, err := h.apply(t, catalog.NewDisallowPrefixes([]netip.Prefix{public}), catalog.NewAllowPrefixes([]netip.Prefix{netip.MustParsePrefix("198.51.100.0/24")}))
		require.NoError(t, err)
		assert.Nil(t, results[0].Refusal, "of ranges that it allows itself")
		assert.Nil(t, results[1].Refusal, "for the others")
		assert.Contains(t, meshctl(t, h.honest()[1], "federation", "allow"), public.String())
		h.requireRefused(t, catalog.NewUpdateDatacenter(h.datacenter(netip.MustParsePrefix("198.51.100.0/25"))))
	}},
	{"it replaces the CA of others, and its own without the former key", func(t *testing.T, h *hostile) {
		stranger, err := identity.NewCA(h.id.Datacenter(), time.Now())
		require.NoError(t, err)
		for _, dc := range h.topology.Datacenters {
			name := catalog.DatacenterName(dc.Name)
			record := h.datacenter(dc.Pods)
			record.Name, record.CACertificate = name, h.cas[name]
			next, err := identity.NewCA(name, time.Now())
			require.NoError(t, err)
			certificate, err := stranger.Succeed(next, h.federation, time.Now())
			require.NoError(t, err)
			h.requireRefused(t, catalog.NewReplaceCA(succession.With(record, next.Certificate(), certificate)))
			record.CACertificate = next.Certificate()
			h.requireRefused(t, catalog.NewReplaceCA(record), catalog.NewUpdateDatacenter(record))
		}
	}},
	{"it removes datacenters in a loop", func(t *testing.T, h *hostile) {
		for range 10 {
			for _, dc := range h.honest() {
				h.requireRefused(t, catalog.NewRemoveDatacenter(catalog.DatacenterName(dc.Name), true))
			}
		}
	}},
	{"it removes peers and transfers the leadership in a loop", func(t *testing.T, h *hostile) {
		for range 10 {
			for _, dc := range h.honest() {
				h.requireRejected(t, &controlpb.LeaderOperationRequest{Operation: &controlpb.LeaderOperationRequest_RemovePeer{
					RemovePeer: &controlpb.RemovePeer{Id: string(h.ids[dc])},
				}})
			}
			h.requireRejected(t, &controlpb.LeaderOperationRequest{Operation: &controlpb.LeaderOperationRequest_TransferLeader{
				TransferLeader: &controlpb.TransferLeader{To: string(h.id)},
			}})
		}
	}},
}

// datacenter returns a record of the program's own datacenter with one prefix.
func (h *hostile) datacenter(cidr netip.Prefix) catalog.Datacenter {
	return catalog.Datacenter{
		Name: h.id.Datacenter(), CACertificate: h.ca.Certificate(), Prefixes: []catalog.Prefix{{CIDR: cidr, Kind: catalog.PodPrefix}},
	}
}

// records describes what a gateway has of the honest datacenters: their records, the CAs
// that it trusts, and the destinations that it routes.
func (h *hostile) records(ctx context.Context, at *harness.Datacenter) (string, error) {
	snapshot, err := at.Status(ctx)
	if err != nil {
		return "", err
	}
	var text strings.Builder
	for _, dc := range snapshot.Datacenters {
		if dc.Name == h.dc.Name {
			continue
		}
		fmt.Fprintln(&text, dc.Name, dc.Ordinal, dc.Prefixes, dc.JoinedAt)
		for _, g := range dc.Gateways {
			fmt.Fprintln(&text, g.ID, g.Overlay, g.Version, g.Endpoints, g.Controls)
		}
	}
	out, err := at.Gateway.Exec(ctx, "ip", "-o", "route", "show", "table", "7117")
	if err != nil {
		return "", err
	}
	var destinations []string
	for line := range strings.Lines(out) {
		words := strings.Fields(line)
		destination := words[0]
		if net.ParseIP(strings.Split(destination, "/")[0]) == nil { // the kind of a route that is not unicast
			destination = words[1]
		}
		if !h.own(destination) {
			destinations = append(destinations, destination)
		}
	}
	slices.Sort(destinations)
	fmt.Fprintln(&text, slices.Compact(destinations))
	trusted, err := at.Meshctl(ctx, "trust", "show")
	for line := range strings.Lines(trusted) {
		if !strings.HasPrefix(line, "ghost") { // the CAs that datacenters of the program had
			fmt.Fprintln(&text, strings.Fields(line))
		}
	}
	return text.String(), err
}

// TestAHostileMemberHarmsOnlyItself runs all attacks one after another against a
// federation under traffic. The hostile datacenter has no vote.
func TestAHostileMemberHarmsOnlyItself(t *testing.T) {
	topology := newTopology(t, "east", "west", "north", "south")
	management := addNeeds(t, topology, topology.Datacenters[0])
	honest, south := topology.Datacenters[:3], topology.Datacenters[3]
	federate(t, honest...)
	require.NoError(t, harness.AwaitVoters(within(t, timeout), 3, honest...))
	runAgent(t, south) // after the others have the votes
	meshctl(t, south, "join", token(t, honest[0]))
	awaitFederation(t, topology.Datacenters...)
	h := newHostile(t, topology)
	h.management = management
	requireNoVote(t, h)
	before := map[*harness.Datacenter]string{}
	for _, dc := range honest {
		eventually(t, timeout, dc.Name+" has verified all datacenters", func(ctx context.Context) (err error) {
			before[dc], err = h.records(ctx, dc)
			if err == nil && strings.Contains(before[dc], "unsigned") {
				return errors.New("a record is unsigned")
			}
			return err
		})
	}
	streams := datagramsAmong(t, honest)
	writes := writeInTheBackground(t, honest[1])
	for i, attack := range slices.Concat(attacks, signedAttacks, packetAttacks, recordAttacks, contentAttacks) {
		t.Run(attack.name, func(t *testing.T) {
			attack.run(t, h)
			for k, dc := range honest {
				meshctl(t, dc, "service", "register", fmt.Sprintf("after-%d-%d", i, k), "--address", dc.Workloads[0].Service.String(), "--port", "8080")
				after, err := h.records(t.Context(), dc)
				require.NoError(t, err)
				assert.Equal(t, before[dc], after, "on %s", dc.Name)
			}
			for k, stream := range streams {
				report := stream.Report()
				t.Logf("stream %d: %d sent, %d without an answer yet, %v at most", k, report.Sent, report.Lost(), report.MaxLatency)
			}
			for _, dc := range honest {
				t.Logf("agent of %s: %d MiB at most", dc.Name, peakMemory(t, dc))
			}
		})
	}
	require.NoError(t, harness.AwaitVoters(within(t, timeout), 3, honest...))
	slowest, made := writes()
	t.Logf("%d writes, the slowest took %v", made, slowest)
	for _, stream := range streams {
		requireNoneLost(t, stream)
	}
	for _, dc := range honest {
		assert.Less(t, peakMemory(t, dc), mostMemory, "MiB of %s", dc.Name)
	}
	requireReadable(t, honest, 4)
}

// mostMemory is how many MiB an agent may take while it is attacked.
const mostMemory = 512

// requireReadable checks that the catalog of a number of datacenters can be saved, and that
// a member can start from what it has on disk.
func requireReadable(t *testing.T, honest []*harness.Datacenter, datacenters int) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "catalog.snapshot")
	meshctl(t, honest[0], "snapshot", "save", file)
	assert.Contains(t, meshctl(t, honest[0], "snapshot", "inspect", file), fmt.Sprintf("%d datacenters", datacenters))
	again := honest[len(honest)-1]
	again.Agent.Kill()
	require.NoError(t, again.Run(within(t, timeout), binaries))
	eventually(t, timeout, again.Name+" has opened its catalog", func(ctx context.Context) error {
		_, err := again.Meshctl(ctx, "services")
		return err
	})
	assert.Contains(t, meshctl(t, again, "service", "register", "restarted", "--address", again.Workloads[0].Service.String(), "--port", "8080"), "registered at index")
}

func requireNoVote(t *testing.T, h *hostile) {
	t.Helper()
	snapshot, err := h.honest()[0].Status(t.Context())
	require.NoError(t, err)
	for _, dc := range snapshot.Datacenters {
		for _, g := range dc.Gateways {
			if g.ID == string(h.id) {
				require.NotEqual(t, "voter", g.Role)
			}
		}
	}
}

//go:build linux && root

package netns_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/raft"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/agent/status"
	"github.com/meshway/meshway/consensus"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/replica"
	"github.com/meshway/meshway/consensus/raftnode/raftnodetest"
	"github.com/meshway/meshway/e2e/harness"
)

// forger returns a sender of raft messages over streams with the certificate of the program.
func (h *hostile) forger(t *testing.T) *raftnodetest.Forger {
	t.Helper()
	forger := raftnodetest.NewForger(h.id, 5*time.Second, func(ctx context.Context, to catalog.GatewayID) (net.Conn, error) {
		return h.port.Raft().Dial(ctx, to, controlOf(h.topology.Datacenter(string(to.Datacenter()))))
	})
	t.Cleanup(func() { assert.NoError(t, forger.Close()) })
	return forger
}

// requireAllRefuse sends a raft message to each honest gateway. Each has to refuse it for the
// same reason.
func (h *hostile) requireAllRefuse(t *testing.T, reason string, send func(to catalog.GatewayID, at status.Catalog) error) {
	t.Helper()
	for _, dc := range h.honest() {
		snapshot, err := dc.Status(t.Context())
		require.NoError(t, err)
		assert.ErrorContains(t, send(h.ids[dc], snapshot.Catalog), reason, "by %s", dc.Name)
	}
}

// requireReported requires that the status of a gateway names the program, whose message was
// refused for a reason.
func (h *hostile) requireReported(t *testing.T, at *harness.Datacenter, code string) {
	t.Helper()
	eventually(t, timeout, at.Name+" reports the message that it refused", func(ctx context.Context) error {
		snapshot, err := at.Status(ctx)
		if err == nil && !slices.ContainsFunc(snapshot.Problems, func(p plan.Problem) bool { return p.Code == code && p.Subject == "gateway "+string(h.id) }) {
			err = fmt.Errorf("%+v", snapshot.Problems)
		}
		return err
	})
}

// voterAttacks are what a voter tries with raft messages. It remains a member that votes and
// answers, as its agent runs beside the program.
var voterAttacks = []struct {
	name string
	run  func(t *testing.T, h *hostile, f *raftnodetest.Forger)
}{
	{"terms that end elections", func(t *testing.T, h *hostile, f *raftnodetest.Forger) {
		for _, term := range []uint64{1 << 40, math.MaxUint64 - 1} {
			for kind, send := range f.Forgeries(term) {
				reason := "no honest member is that far ahead"
				switch kind {
				case "TimeoutNow": // it has no term
					continue
				case "InstallSnapshot": // the stream ends before its content is read
					reason = ""
				}
				h.requireAllRefuse(t, reason, func(to catalog.GatewayID, _ status.Catalog) error { return send(to) })
			}
		}
	}},
	{"messages in the name of another voter", func(t *testing.T, h *hostile, f *raftnodetest.Forger) {
		own := f.Name
		defer func() { f.Name = own }()
		for i, dc := range h.honest() {
			f.Name = h.ids[h.honest()[(i+1)%2]] // of the two other voters
			snapshot, err := dc.Status(t.Context())
			require.NoError(t, err)
			for kind, send := range f.Forgeries(snapshot.Catalog.Term + 1) {
				assert.Error(t, send(h.ids[dc]), kind)
			}
			h.requireReported(t, dc, consensus.CodeSenderDiffers)
		}
	}},
	{"entries that no member can apply", func(t *testing.T, h *hostile, f *raftnodetest.Forger) {
		later := catalog.NewRemoveGateway(h.ids[h.honest()[0]])
		later.Version = catalog.Level + 1
		unsupported, err := catalog.Marshal(later)
		require.NoError(t, err)
		for _, data := range [][]byte{unsupported, []byte("\xff\xff"), {0x0a, 0x00}, bytes.Repeat([]byte{0x0a, 0x00}, 1<<16)} {
			h.requireAllRefuse(t, "entry 0: ", func(to catalog.GatewayID, at status.Catalog) error {
				return f.Entry(to, at.Term+1, at.CommitIndex, at.Term, raft.LogCommand, data)
			})
		}
		nobody := raft.EncodeConfiguration(raft.Configuration{Servers: []raft.Server{
			{ID: raft.ServerID(h.id), Address: raft.ServerAddress(h.id), Suffrage: raft.Nonvoter},
		}})
		h.requireAllRefuse(t, "entry 0: ", func(to catalog.GatewayID, at status.Catalog) error {
			return f.Entry(to, at.Term+1, at.CommitIndex, at.Term, raft.LogConfiguration, nobody)
		})
	}},
	{"an entry in the place of one that is applied", func(t *testing.T, h *hostile, f *raftnodetest.Forger) {
		h.requireAllRefuse(t, "this member has applied it", func(to catalog.GatewayID, at status.Catalog) error {
			return f.Entry(to, at.Term+1, at.CommitIndex-2, at.Term, raft.LogNoop, nil)
		})
	}},
	{"a snapshot without the records of the others", func(t *testing.T, h *hostile, f *raftnodetest.Forger) {
		all := raft.Configuration{}
		for _, id := range h.ids {
			all.Servers = append(all.Servers, raft.Server{ID: raft.ServerID(id), Address: raft.ServerAddress(id)})
		}
		h.requireAllRefuse(t, "", func(to catalog.GatewayID, at status.Catalog) error {
			return f.Snapshot(to, at.Term+1, at.CommitIndex+1000, all, replica.New().View())
		})
		for _, dc := range h.honest() {
			h.requireReported(t, dc, consensus.CodeSnapshotForged)
		}
	}},
}

// TestAHostileVoterChangesNoRecordAndStopsNoMember has raft messages that no honest member
// sends, from one of three voters, to the two others and to a member without a vote, beside
// traffic and writes of the others.
func TestAHostileVoterChangesNoRecordAndStopsNoMember(t *testing.T) {
	topology := newTopology(t, "east", "west", "south", "north")
	honest, south, north := topology.Datacenters[:3], topology.Datacenters[2], topology.Datacenters[3]
	voters := []*harness.Datacenter{honest[0], honest[1], north}
	federate(t, voters...)
	require.NoError(t, harness.AwaitVoters(within(t, timeout), 3, voters...))
	runAgent(t, south) // after the others have the votes
	meshctl(t, south, "join", token(t, honest[0]))
	awaitFederation(t, topology.Datacenters...)
	h := newHostile(t, topology)
	forger := h.forger(t)
	before := map[*harness.Datacenter]string{}
	for _, dc := range honest {
		eventually(t, timeout, dc.Name+" has the records of the others", func(ctx context.Context) (err error) {
			before[dc], err = h.records(ctx, dc)
			if err == nil && strings.Contains(before[dc], "unsigned") {
				err = errors.New("a record is unsigned")
			}
			return err
		})
	}
	streams := datagramsAmong(t, honest)
	writes := writeInTheBackground(t, honest[1])
	for i, attack := range voterAttacks {
		t.Run(attack.name, func(t *testing.T) {
			attack.run(t, h, forger)
			for k, dc := range honest {
				meshctl(t, dc, "service", "register", fmt.Sprintf("after-%d-%d", i, k), "--address", dc.Workloads[0].Service.String(), "--port", "8080")
				after, err := h.records(t.Context(), dc)
				require.NoError(t, err)
				assert.Equal(t, before[dc], after, "on %s", dc.Name)
			}
		})
	}
	slowest, made := writes()
	t.Logf("%d writes, the slowest took %v", made, slowest)
	for _, stream := range streams {
		requireNoneLost(t, stream)
	}
	requireReadable(t, honest, 4)
}

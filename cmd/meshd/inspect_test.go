package main

import (
	"bytes"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/catalogpb"
	"github.com/meshway/meshway/consensus/catalog/replica"
	"github.com/meshway/meshway/consensus/consensustest"
	"github.com/meshway/meshway/consensus/raftnode"
)

// catalogOfTwo has dc0, and dc1 with a registered service.
func catalogOfTwo(t *testing.T) *replica.View {
	t.Helper()
	state := replica.New()
	create, join := consensustest.NewJoin("dc0/gw", "dc1", "gw")
	put := consensustest.Key{Owner: "dc1/gw", Name: "web"}.Set("x")
	for i, command := range []*catalogpb.Command{consensustest.NewInit("dc0", "gw"), create, join, put} {
		if command.Author == "" {
			command.Author = "dc0/gw"
		}
		command.At = timestamppb.Now()
		entry, err := catalog.Marshal(command)
		require.NoError(t, err)
		results, err := state.Apply(uint64(i)+1, entry)
		require.NoError(t, err)
		require.Nil(t, results[0].Refusal)
	}
	return state.View()
}

func TestDryRunOfARecoveryStatesWhatThisCopyKeeps(t *testing.T) {
	p := raftnode.Prospect{
		Index: 20, Committed: 18, WrittenAt: time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC), View: catalogOfTwo(t),
		Former: []catalog.GatewayID{"dc0/gw", "dc1/gw", "lost/gw"},
	}
	voters := []catalog.GatewayID{"dc0/gw"}
	var text bytes.Buffer
	require.NoError(t, newProspect(p, voters).print(&text, p.Former, false))
	assert.Equal(t, `index of the last entry that is kept: 20, newest write at 2026-01-02T03:04:05Z
voters: dc0/gw
no longer voters: dc1/gw, lost/gw
kept although they may not have been acknowledged: entries 19 to 20
datacenter dc0: 1 gateways, 1 prefixes, 0 registered services, 0 exported services
datacenter dc1: 1 gateways, 1 prefixes, 1 registered services, 0 exported services
lost: writes that only other gateways have; they are not in this directory, so run this on each gateway
that remains and compare the indexes: the highest has the newest catalog
nothing was changed
`, text.String())

	var lines bytes.Buffer
	p.Unusable, p.WrittenAt = 21, time.Time{}
	require.NoError(t, newProspect(p, voters).print(&lines, p.Former, true))
	assert.JSONEq(t, `{"index": 20, "committed": 18, "unusable": 21, "voters": ["dc0/gw"], "nonVoters": ["dc1/gw", "lost/gw"], "datacenters": [
		{"name": "dc0", "gateways": 1, "prefixes": 1, "services": 0, "exports": 0},
		{"name": "dc1", "gateways": 1, "prefixes": 1, "services": 1, "exports": 0}]}`, lines.String())
	text.Reset()
	require.NoError(t, newProspect(p, voters).print(&text, p.Former, false))
	assert.Contains(t, text.String(), "newest write at a time that is not known")
	assert.Contains(t, text.String(), "cannot apply it: entry 21 and those after it")
}

package mcs_test

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/agent/kube/mcs"
	"github.com/meshway/meshway/agent/kube/mcs/mcstest"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/replica"
)

func none(catalog.ServiceName) bool { return false }

func publication(addresses ...string) mcs.Publication {
	e := exported("east")
	p := mcs.Publication{Export: &e}
	if len(addresses) > 0 {
		p.Slices = []catalog.EndpointSlice{endpoints("east", "http", addresses...)}
	}
	return p
}

func TestDiffBringsTheCatalogToThePublications(t *testing.T) {
	c := mcstest.NewCatalog(t, "east", "west")
	api := catalog.ServiceName{Namespace: "shop", Name: "api"}
	west := c.At("west")
	west.Put(t, exported("west"), endpoints("west", "http", "10.2.0.1"))
	steps := []struct {
		want map[catalog.ServiceName]mcs.Publication
		text string
	}{
		{map[catalog.ServiceName]mcs.Publication{web(): publication("10.1.0.1")}, "exports 1 slices 1 deleted 0 0"},
		{map[catalog.ServiceName]mcs.Publication{web(): publication("10.1.0.2")}, "exports 0 slices 1 deleted 0 0"},
		{map[catalog.ServiceName]mcs.Publication{web(): publication()}, "exports 0 slices 0 deleted 0 1"},
		{map[catalog.ServiceName]mcs.Publication{web(): publication("10.1.0.2"), api: {}}, "exports 0 slices 1 deleted 0 0"},
		{map[catalog.ServiceName]mcs.Publication{web(): {}}, "exports 0 slices 0 deleted 1 0"},
		{nil, "exports 0 slices 0 deleted 0 0"},
	}
	for i, s := range steps {
		changes := mcs.Diff(c.View(), "east", s.want, none)
		assert.Equal(t, s.text, fmt.Sprintf("exports %d slices %d deleted %d %d",
			len(changes.Exports), len(changes.Slices), len(changes.DeletedExports), len(changes.DeletedSlices)), "step %d", i)
		results, err := c.Propose(t.Context(), changes.Commands()...)
		require.NoError(t, err)
		for _, r := range results {
			require.Nil(t, r.Refusal)
		}
		assert.Empty(t, mcs.Diff(c.View(), "east", s.want, none).Commands(), "step %d", i)
	}
	assert.Len(t, c.View().EndpointSlices(replica.ExportFilter{}), 1, "the records of west stay")
}

func TestHeldServiceIsNeitherWrittenNorDeleted(t *testing.T) {
	c := mcstest.NewCatalog(t, "east")
	c.Put(t, exported("east"))
	held := func(name catalog.ServiceName) bool { return name == web() }
	want := map[catalog.ServiceName]mcs.Publication{web(): publication("10.1.0.1")}
	assert.Empty(t, mcs.Diff(c.View(), "east", want, held).Commands())
}

// Endpoint changes go through raft, so a burst of them must fit in few entries.
func TestBurstOfEndpointsFitsInFewCommands(t *testing.T) {
	want := map[catalog.ServiceName]mcs.Publication{}
	for i := range 50 {
		e := exported("east")
		e.Name = fmt.Sprint("s", i)
		p := mcs.Publication{Export: &e}
		s := endpoints("east", "http")
		s.ExportKey = e.ExportKey
		for j := range 100 {
			s.Endpoints = append(s.Endpoints, catalog.Endpoint{Address: netip.AddrFrom4([4]byte{10, 1, byte(i), byte(j)}), Ready: true})
		}
		p.Slices = []catalog.EndpointSlice{s}
		want[catalog.ServiceName{Namespace: "shop", Name: e.Name}] = p
	}
	c := mcstest.NewCatalog(t, "east")
	start := time.Now()
	cmds := mcs.Diff(c.View(), "east", want, none).Commands()
	assert.Less(t, len(cmds), 8)
	_, err := c.Propose(t.Context(), cmds...)
	require.NoError(t, err)
	t.Logf("5,000 endpoints: %d commands, %s", len(cmds), time.Since(start))
	parts := mcs.Diff(replica.New().View(), "east", want, none).ByName()
	assert.Len(t, parts, 50)
	assert.Len(t, parts[catalog.ServiceName{Namespace: "shop", Name: "s7"}].Commands(), 2)
}

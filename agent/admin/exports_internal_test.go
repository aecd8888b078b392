package admin

import (
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/agent/kube/mcs/mcstest"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/replica"
)

func TestExportsAreListedWithTheNumbersOfTheirEndpoints(t *testing.T) {
	c := mcstest.NewCatalog(t, "east", "west")
	key := catalog.ExportKey{Datacenter: "west", Namespace: "shop", Name: "cart"}
	export := catalog.Export{
		ExportKey: key, Type: catalog.ClusterSetIP, SessionAffinity: catalog.NoSessionAffinity, Affinity: catalog.AffinityNone,
		Ports: []catalog.ExportPort{{Name: "http", Protocol: "tcp", Number: 80}}, CreatedAt: time.Now(),
	}
	slice := func(name string, ready ...bool) catalog.EndpointSlice {
		s := catalog.EndpointSlice{EndpointSliceKey: catalog.EndpointSliceKey{ExportKey: key, Slice: name}, Ports: export.Ports}
		for i, r := range ready {
			s.Endpoints = append(s.Endpoints, catalog.Endpoint{Address: netip.AddrFrom4([4]byte{10, 2, 0, byte(i + 1)}), Ready: r})
		}
		return s
	}
	c.At("west").Put(t, export, slice("a", true, false), slice("b", true))
	listed := exportedServices(c.View(), replica.ExportFilter{})
	require.Len(t, listed, 1)
	assert.Equal(t, "cart", listed[0].GetExport().GetName())
	assert.EqualValues(t, 3, listed[0].GetEndpoints())
	assert.EqualValues(t, 2, listed[0].GetReady())
	assert.Empty(t, exportedServices(c.View(), replica.ExportFilter{Datacenter: "east"}))
}

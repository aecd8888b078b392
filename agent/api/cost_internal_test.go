package api

import (
	"fmt"
	"net/netip"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/feed"
)

// A program that reads slowly keeps the records of its state, also those that the catalog
// has replaced since: no more than the memory that it was granted.
func TestTheRecordsOfAStateTakeLessThanItsGrant(t *testing.T) {
	for name, build := range map[string]func(i int) *feed.Item{
		"services": func(i int) *feed.Item { return &feed.Item{Service: serviceWithout(i)} },
		"services with labels and ports": func(i int) *feed.Item {
			s := serviceWithout(i)
			s.Labels = map[string]string{}
			for k := range 20 {
				s.Labels[fmt.Sprint("key-", i, "-", k)] = fmt.Sprint("value-", i, "-", k)
				s.Ports = append(s.Ports, catalog.Port{Name: fmt.Sprint("port-", i, k), Protocol: "tcp", Number: 80})
			}
			return &feed.Item{Service: s}
		},
		"exports": func(i int) *feed.Item {
			e := feed.Export{Export: catalog.Export{ExportKey: catalog.ExportKey{Namespace: fmt.Sprint("ns-", i), Name: fmt.Sprint("name-", i)}, CreatedAt: time.Now()}}
			s := catalog.EndpointSlice{EndpointSliceKey: catalog.EndpointSliceKey{ExportKey: e.ExportKey, Slice: fmt.Sprint("slice-", i)}}
			for k := range 50 {
				s.Endpoints = append(s.Endpoints, catalog.Endpoint{
					Address: netip.AddrFrom4([4]byte{10, byte(i >> 8), byte(i), byte(k)}), Hostname: fmt.Sprint("pod-", i, "-", k), Zone: fmt.Sprint("zone-", i, "-", k),
				})
			}
			e.Slices = append(e.Slices, s)
			return &feed.Item{Export: &e}
		},
	} {
		t.Run(name, func(t *testing.T) {
			const count = 2_000
			before := heapInUse()
			items := make([]*feed.Item, count)
			for i := range items {
				items[i] = build(i)
			}
			held, cost := heapInUse()-before, costOf(items)
			t.Logf("%d items hold %d KiB of %d KiB", count, held>>10, cost>>10)
			assert.Positive(t, held)
			assert.Less(t, held, cost)
			runtime.KeepAlive(items)
		})
	}
}

func serviceWithout(i int) *catalog.Service {
	return &catalog.Service{
		ServiceKey: catalog.ServiceKey{Datacenter: "east", Namespace: fmt.Sprint("namespace-", i), Name: fmt.Sprint("name-", i), Instance: fmt.Sprint("instance-", i)},
		Owner:      catalog.GatewayID(fmt.Sprint("east/gateway-", i)), Address: netip.MustParseAddr("10.0.0.1"),
	}
}

func heapInUse() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc) //nolint:gosec // below 2^63
}

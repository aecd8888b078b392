package replica_test

import (
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/catalogpb"
	"github.com/meshway/meshway/consensus/catalog/quota"
)

// heap returns the bytes that are in use.
func heap() int {
	runtime.GC()
	runtime.GC() // what the first one finalized
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc)
}

// TestMemberThatFillsItsLimitsCostsLessThan64MB writes records of one shape until
// the leader refuses more.
func TestMemberThatFillsItsLimitsCostsLessThan64MB(t *testing.T) {
	long := strings.Repeat("n", 58)
	many := func(n int, size int) map[string]string {
		labels := make(map[string]string)
		for i := range n {
			labels[fmt.Sprint("k", i)] = strings.Repeat("v", size)
		}
		return labels
	}
	services := func(labels map[string]string, each int) func(i int) *catalogpb.Command {
		return func(i int) *catalogpb.Command {
			var list []catalog.Service
			for j := range each {
				s := testService("west", fmt.Sprintf("%s%05d", long, i*each+j), "a", "10.2.0.1")
				s.Labels = labels
				list = append(list, s)
			}
			return catalog.NewPutServices(list)
		}
	}
	exports := func(i int) *catalogpb.Command {
		e := testExport("west", fmt.Sprintf("%s%05d", long, i))
		e.Labels, e.Annotations = many(64, 50), many(64, 50)
		return catalog.NewPutExports([]catalog.Export{e})
	}
	slices := func(each int) func(i int) *catalogpb.Command {
		return func(i int) *catalogpb.Command {
			var list []catalog.EndpointSlice
			for j := range each {
				s := testSlice("west", "web", fmt.Sprintf("%s%05d", long, i*each+j))
				for k := range 150 / each {
					s.Endpoints = append(s.Endpoints, catalog.Endpoint{
						Address: testService("west", "x", "x", fmt.Sprintf("10.2.1.%d", k)).Address, Hostname: long, Zone: long,
					})
				}
				list = append(list, s)
			}
			return catalog.NewPutEndpoints(list)
		}
	}
	for name, command := range map[string]func(i int) *catalogpb.Command{
		"services without labels":   services(nil, 100),
		"services with many labels": services(many(64, 20), 10),
		"services with long labels": services(many(1, 4000), 10),
		"exports":                   exports,
		"large slices":              slices(1),
		"small slices":              slices(75),
	} {
		t.Run(name, func(t *testing.T) {
			m := federationOfThree(t)
			m.must(westGateway, catalog.NewPutExports([]catalog.Export{testExport("west", "web")}))
			before := heap()
			field := ""
			for i := 0; field == ""; i++ {
				v := m.state.Judge([]*catalogpb.Command{m.sign(westGateway, command(i))}, quota.DefaultLimits(), m.now)[0]
				if v.Command == nil {
					field = m.notWritten(v, catalog.CodeQuota).Field
					break
				}
				require.Nil(t, m.entry(v.Command)[0].Refusal)
				m.log = nil
			}
			cost := heap() - before
			t.Logf("%s: %d MB at the limit of %s", name, cost>>20, field)
			assert.Less(t, cost, 64<<20)
			runtime.KeepAlive(m.state)
		})
	}
}

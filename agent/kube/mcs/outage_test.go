package mcs_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/meshway/meshway/agent/kube/mcs"
	"github.com/meshway/meshway/consensus/catalog"
)

// KEP-1645, "Endpoint TTL".
func TestUnreachableDatacenterIsWithdrawnAfterItsGrace(t *testing.T) {
	type names = []catalog.DatacenterName
	type ages = map[catalog.DatacenterName]time.Duration
	now := created()
	for name, c := range map[string]struct {
		others, before names
		down           ages
		withdrawn      names
		doubtful       names
	}{
		"all reachable":                      {others: names{"north", "west"}},
		"within its grace":                   {others: names{"north", "west"}, down: ages{"west": 4 * time.Second}},
		"after its grace":                    {others: names{"north", "west"}, down: ages{"west": 10 * time.Second}, withdrawn: names{"west"}},
		"reachable again":                    {others: names{"north", "west"}, before: names{"west"}},
		"cut off":                            {others: names{"west", "north"}, down: ages{"west": time.Hour, "north": time.Hour}, doubtful: names{"north", "west"}},
		"cut off within grace":               {others: names{"north", "west"}, down: ages{"west": time.Hour, "north": time.Second}, doubtful: names{"west"}},
		"the only other one":                 {others: names{"west"}, down: ages{"west": time.Hour}, doubtful: names{"west"}},
		"cut off after one died":             {others: names{"north", "west"}, before: names{"west"}, down: ages{"west": time.Hour, "north": time.Minute}, withdrawn: names{"west"}, doubtful: names{"north"}},
		"a former member is dropped":         {others: names{"north"}, before: names{"west"}, down: ages{"north": time.Hour}, doubtful: names{"north"}},
		"two of three, one within its grace": {others: names{"a", "b", "c"}, down: ages{"a": time.Minute, "b": time.Second}, withdrawn: names{"a"}},
	} {
		t.Run(name, func(t *testing.T) {
			since := make(map[catalog.DatacenterName]time.Time)
			for dc, age := range c.down {
				since[dc] = now.Add(-age)
			}
			got := mcs.FindOutage(now, c.others, since, mcs.Outage{Withdrawn: c.before})
			assert.True(t, got.Equal(mcs.Outage{Withdrawn: c.withdrawn, Doubtful: c.doubtful}), "%v", got)
		})
	}
}

// The affinity of the own cluster's export and the outage select the endpoints; '!'
// marks an endpoint as not ready.
func TestAffinityAndReachabilityChooseTheEndpoints(t *testing.T) {
	west := []catalog.DatacenterName{"west"}
	withdrawn, doubtful := mcs.Outage{Withdrawn: west}, mcs.Outage{Doubtful: west}
	const east, other = "10.1.0.1", "10.2.0.1"
	for name, c := range map[string]struct {
		affinity   catalog.Affinity
		east, west string
		outage     mcs.Outage
		want       string
	}{
		"none":                                  {"none", east, other, mcs.Outage{}, east + " " + other},
		"none, withdrawn":                       {"none", east, other, withdrawn, east},
		"none, withdrawn, no local endpoint":    {"none", "!" + east, other, withdrawn, ""},
		"none, cut off":                         {"none", east, other, doubtful, east},
		"none, cut off, no local endpoint":      {"none", "!" + east, other, doubtful, other},
		"local":                                 {"local", east, other, mcs.Outage{}, east},
		"local fails over":                      {"local", "!" + east, other, mcs.Outage{}, other},
		"local, withdrawn":                      {"local", east, other, withdrawn, east},
		"local, withdrawn, no local endpoint":   {"local", "!" + east, other, withdrawn, ""},
		"local, cut off":                        {"local", east, other, doubtful, east},
		"local, cut off, no local endpoint":     {"local", "!" + east, other, doubtful, other},
		"remote":                                {"remote", east, other, mcs.Outage{}, other},
		"remote fails back":                     {"remote", east, "!" + other, mcs.Outage{}, east},
		"remote, withdrawn":                     {"remote", east, other, withdrawn, east},
		"remote, cut off":                       {"remote", east, other, doubtful, east},
		"remote, cut off, no local endpoint":    {"remote", "!" + east, other, doubtful, other},
		"the own datacenter is never withdrawn": {"none", east, other, mcs.Outage{Withdrawn: []catalog.DatacenterName{"east"}}, east + " " + other},
		"no endpoint is ready":                  {"local", "!" + east, "!" + other, mcs.Outage{}, ""},
		"cut off, clients of the other family":  {"none", "fd00:1::1", other, doubtful, other + " fd00:1::1"},
	} {
		t.Run(name, func(t *testing.T) {
			others := func(e *catalog.Export) { e.Affinity = catalog.AffinityRemote }
			in := input([]catalog.Export{exported("east"), exported("west", others)},
				endpoints("east", "http", c.east), endpoints("west", "http", c.west))
			in.Outage, in.Preference = c.outage, mcs.Preference{Affinity: c.affinity}
			assert.Equal(t, c.want, addresses(mcs.Plan(in)))
		})
	}
}

// Cut off, a port that only the other datacenters serve keeps their endpoints.
func TestCutOffClusterKeepsThePortsThatItLacks(t *testing.T) {
	west := endpoints("west", "http", "10.2.0.1")
	west.Ports = append(west.Ports, catalog.ExportPort{Name: "dns", Protocol: "udp", Number: 53})
	exports := []catalog.Export{exported("east"), exported("west", ports("http 80/tcp", "dns 53/udp"))}
	in := input(exports, endpoints("east", "http", "10.1.0.1"), west)
	in.Outage = mcs.Outage{Doubtful: []catalog.DatacenterName{"west"}}
	assert.Equal(t, "10.1.0.1 10.2.0.1", addresses(mcs.Plan(in)))
}

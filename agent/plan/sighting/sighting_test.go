package sighting_test

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/meshway/meshway/agent/plan/sighting"
	"github.com/meshway/meshway/consensus/catalog"
)

func at(s string) netip.AddrPort { return netip.MustParseAddrPort(s) }

func seen(observer, peer catalog.GatewayID, endpoint string, age time.Duration) catalog.Observation {
	return catalog.Observation{Observer: observer, Peer: peer, Endpoint: at(endpoint), At: time.Unix(1_800_000_000, 0).Add(-age)}
}

func view() sighting.View {
	v := sighting.View{
		Self:       catalog.Gateway{Datacenter: "east", Name: "a"},
		Advertised: map[catalog.GatewayID][]netip.AddrPort{"west/a": {at("192.0.2.3:51820")}},
	}
	for i := range 8 {
		v.Gateways = append(v.Gateways, catalog.Gateway{Datacenter: catalog.DatacenterName(fmt.Sprint("north", i)), Name: "a", Index: uint32(i % 2)})
	}
	for i := range 8 {
		v.Gateways = append(v.Gateways, catalog.Gateway{Datacenter: "hostile", Name: fmt.Sprint(i)})
	}
	return v
}

func TestTheOwnSightingComesFirstAndThenTheNewestOfOthers(t *testing.T) {
	s := sighting.Find(view(), []catalog.Observation{
		seen("north0/a", "west/a", "198.51.100.1:1001", 5*time.Second),
		seen("north2/a", "west/a", "198.51.100.1:1002", 2*time.Second),
		seen("north4/a", "west/a", "198.51.100.1:1001", 1*time.Second),
		seen("east/a", "west/a", "198.51.100.1:1000", time.Hour),
		seen("gone/a", "west/a", "198.51.100.1:1009", 0),
	})
	assert.Equal(t, at("198.51.100.1:1000"), s.Own("west/a"))
	assert.Equal(t, []netip.AddrPort{at("198.51.100.1:1000"), at("198.51.100.1:1001"), at("198.51.100.1:1002")}, s.Of("west/a"))
	assert.Empty(t, s.Of("west/b"))
}

func TestOnlyTheNewestEndpointsAreKept(t *testing.T) {
	var observations []catalog.Observation
	for i := range 4 {
		for round := range 3 { // each observer sees several, an old one again at last
			observations = append(observations, seen(catalog.GatewayID(fmt.Sprint("north", 2*i, "/a")), "west/a",
				fmt.Sprint("198.51.100.1:", 1000+10*round+i), time.Duration(20-5*round-i)*time.Second))
		}
	}
	observations = append(observations, seen("north0/a", "west/a", "198.51.100.1:1000", 0))
	s := sighting.Find(view(), observations)
	assert.Equal(t, []netip.AddrPort{
		at("198.51.100.1:1000"), at("198.51.100.1:1023"), at("198.51.100.1:1022"), at("198.51.100.1:1021"),
	}, s.Of("west/a"))
}

func TestAnObserverInAnotherLaneShowsTheAddressOnlyIfNoRouterAssignedThePort(t *testing.T) {
	s := sighting.Find(view(), []catalog.Observation{
		seen("north1/a", "west/a", "203.0.113.7:51821", 2*time.Second), // its lane 1
		seen("north3/a", "west/a", "203.0.113.8:1024", time.Second),    // assigned by a router
	})
	assert.Equal(t, []netip.AddrPort{at("203.0.113.7:51820")}, s.Of("west/a"))
}

// An observer states what it sees, and when.
func TestObserversOfOneDatacenterDoNotDisplaceWhatOthersSee(t *testing.T) {
	right := seen("north0/a", "west/a", "198.51.100.1:1000", time.Minute)
	var forged []catalog.Observation
	for i := range 8 {
		forged = append(forged, seen(catalog.GatewayID(fmt.Sprint("hostile/", i)), "west/a", fmt.Sprint("203.0.113.66:", 2000+i), -time.Hour))
	}
	same := slices.Clone(forged)
	same[7].Endpoint = right.Endpoint // it states what another one sees, before the others of its datacenter
	same[7].At = right.At.Add(time.Second)
	for _, order := range [][]catalog.Observation{
		append(forged, right), reversed(append(forged, right)), append(same, right), reversed(append(same, right)),
	} {
		got := sighting.Find(view(), order).Of("west/a")
		assert.Contains(t, got, at("198.51.100.1:1000"))
		assert.LessOrEqual(t, len(got), 2)
	}
}

// A host may have addresses of one family only.
func TestAnObserverOfOneFamilyDoesNotHideWhatItsSiblingSeesOfTheOther(t *testing.T) {
	s := sighting.Find(view(), []catalog.Observation{
		seen("hostile/0", "west/a", "198.51.100.1:1000", time.Hour),
		seen("hostile/1", "west/a", "[2001:db8::1]:1000", time.Second),
	})
	assert.Equal(t, []netip.AddrPort{at("[2001:db8::1]:1000"), at("198.51.100.1:1000")}, s.Of("west/a"))
}

func reversed(list []catalog.Observation) []catalog.Observation {
	list = slices.Clone(list)
	slices.Reverse(list)
	return list
}

package dataplane

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/tunnel"
)

func TestArrivalBeginsWithTheFirstPacketAfterARenewalOrAPause(t *testing.T) {
	start, key := time.Unix(1000, 0), tunnel.PublicKey{1}
	var now map[tunnel.PublicKey]plan.Arrival
	for _, step := range []struct {
		at, received uint64 // s, bytes
		first, last  uint64 // s; 0: no packet has arrived
	}{
		{at: 1},
		{at: 2, received: 148, first: 2, last: 2},
		{at: 3, received: 148, first: 2, last: 2},
		{at: 4, received: 296, first: 2, last: 4},
		{at: 9, received: 444, first: 9, last: 9},
		{at: 10, received: 148, first: 10, last: 10},
		{at: 11},
		{at: 12, received: 148, first: 12, last: 12},
	} {
		second := func(n uint64) time.Time { return start.Add(time.Duration(n) * time.Second) }
		now = arrivals(now, second(step.at), []tunnel.Observed{{Peers: []tunnel.ObservedPeer{
			{Peer: tunnel.Peer{PublicKey: key}, ReceivedBytes: step.received},
		}}})
		want := map[tunnel.PublicKey]plan.Arrival{}
		if step.first != 0 {
			want[key] = plan.Arrival{Received: step.received, First: second(step.first), Last: second(step.last)}
		}
		assert.Equal(t, want, now, step.at)
	}
}

func TestDepartedDatacenterStaysForTheGrace(t *testing.T) {
	east, west := catalog.Datacenter{Name: "east"}, catalog.Datacenter{Name: "west"}
	gateway := catalog.Gateway{Datacenter: "west", Name: "gw"}
	both := plan.Catalog{Datacenters: []catalog.Datacenter{east, west}, Gateways: []catalog.Gateway{gateway}}
	alone := plan.Catalog{Datacenters: []catalog.Datacenter{east}}
	var d departures
	now := time.Now()

	d, kept := d.next(now, both)
	assert.Equal(t, both, kept)
	assert.False(t, d.pending())
	for _, after := range []time.Duration{0, departureGrace - 1} {
		before := d
		d, kept = d.next(now.Add(after), alone)
		assert.Equal(t, both, kept, after)
		assert.True(t, d.pending())
		_, again := before.next(now.Add(after), alone)
		assert.Equal(t, kept, again, "departures are a value")
	}
	d, kept = d.next(now.Add(departureGrace), alone)
	assert.Equal(t, alone, kept)
	assert.False(t, d.pending())

	d, _ = d.next(now, both)
	d, _ = d.next(now, alone)
	d, kept = d.next(now, both)
	assert.Equal(t, both, kept, "a datacenter that comes back at once is listed once")
	assert.False(t, d.pending())
}

func TestDistanceIsTheShortestRoundTripOfAWindow(t *testing.T) {
	var r roundTrips
	now := time.Now()
	add := func(after, rtt time.Duration) time.Duration {
		r = r.add(now.Add(after), []plan.Session{{Gateway: "west/gw", Up: true, RTT: rtt}, {Gateway: "north/gw", RTT: time.Hour}})
		return r.measured["west/gw"]
	}
	assert.Zero(t, add(0, 300*time.Millisecond), "load is no distance")
	assert.Zero(t, add(rttWindow/2, 20*time.Millisecond))
	assert.Equal(t, 20*time.Millisecond, add(rttWindow, 80*time.Millisecond))
	assert.Equal(t, 20*time.Millisecond, add(rttWindow+1, 150*time.Millisecond), "until the next window")
	assert.Equal(t, 150*time.Millisecond, add(2*rttWindow, 200*time.Millisecond))
	assert.NotContains(t, r.measured, catalog.GatewayID("north/gw"), "its session is down")
}

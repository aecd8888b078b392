package dataplane

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/consensus/catalog"
)

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
		return r.longest
	}
	assert.Zero(t, add(0, 300*time.Millisecond), "load is no distance")
	assert.Zero(t, add(rttWindow/2, 20*time.Millisecond))
	assert.Equal(t, 20*time.Millisecond, add(rttWindow, 80*time.Millisecond))
	assert.Equal(t, 20*time.Millisecond, add(rttWindow+1, 150*time.Millisecond), "until the next window")
	assert.Equal(t, 150*time.Millisecond, add(2*rttWindow, 200*time.Millisecond))
}

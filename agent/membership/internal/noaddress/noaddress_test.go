package noaddress_test

import (
	"net/netip"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/meshway/meshway/agent/config"
	"github.com/meshway/meshway/agent/membership/internal/noaddress"
	"github.com/meshway/meshway/agent/plan"
)

func TestAHostWithoutAnAddressLearnsWhyItCannotBeReached(t *testing.T) {
	pod, temporary := netip.MustParseAddr("10.1.0.5"), netip.MustParseAddr("2001:db8::5")
	places := map[netip.Addr]plan.Place{temporary: {Device: "eth0", Unstable: true}}
	for name, c := range map[string]struct {
		host                   plan.Host
		advertise              []string // of wireguard
		message, field, remedy string
	}{
		"no address": {
			plan.Host{},
			nil, "it has only loopback and link-local addresses, or its devices are down",
			"wireguard.advertise", "connect the host to a network, or set wireguard.advertise and control.advertise in the configuration",
		},
		"no address for the control port": {
			plan.Host{},
			[]string{"192.0.2.1:51820"},
			"it has only loopback and link-local addresses, or its devices are down",
			"control.advertise", "connect the host to a network, or set control.advertise in the configuration",
		},
		"only addresses of pods": {
			plan.Host{Addresses: []netip.Addr{pod}, Places: places},
			nil, "all its addresses are in the datacenter's own pod and service prefixes",
			"wireguard.advertise", "set wireguard.advertise and control.advertise in the configuration",
		},
		"only temporary addresses": {
			plan.Host{Addresses: []netip.Addr{temporary}, Places: places},
			nil, "all its addresses are temporary, deprecated, or not yet assigned (ip address)",
			"wireguard.advertise", "set wireguard.advertise and control.advertise in the configuration",
		},
		"both": {
			plan.Host{Addresses: []netip.Addr{pod, temporary}, Places: places},
			nil,
			"all its addresses are in the datacenter's own pod and service prefixes, or are temporary, deprecated, or not yet assigned (ip address)",
			"wireguard.advertise", "set wireguard.advertise and control.advertise in the configuration",
		},
	} {
		t.Run(name, func(t *testing.T) {
			var file config.Config
			file.WireGuard.Advertise = c.advertise
			r := noaddress.Refusal(file, c.host)
			assert.Equal(t, "no-underlay-address", r.Code)
			assert.Equal(t, "this host has no address at which other gateways could reach it: "+c.message, r.Message)
			assert.Equal(t, c.field, r.Field)
			assert.Equal(t, c.remedy, r.Remedy)
		})
	}
}

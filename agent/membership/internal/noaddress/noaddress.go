// Package noaddress explains why a host has no address to advertise.
package noaddress

import (
	"strings"

	"github.com/meshway/meshway/agent/config"
	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/consensus/catalog"
)

// Refusal returns why a host without addresses that could be advertised, or with those
// of one kind only, cannot be reached.
func Refusal(file config.Config, host plan.Host) *catalog.Refusal {
	var missing []string
	if len(file.WireGuard.Advertise) == 0 {
		missing = append(missing, "wireguard.advertise")
	}
	if len(file.Control.Advertise) == 0 {
		missing = append(missing, "control.advertise")
	}
	unstable := 0
	for _, addr := range host.Addresses {
		if host.Places[addr].Unstable {
			unstable++
		}
	}
	why := "all its addresses are in the datacenter's own pod and service prefixes"
	switch {
	case len(host.Addresses) == 0:
		why = "it has only loopback and link-local addresses, or its devices are down"
	case unstable == len(host.Addresses):
		why = "all its addresses are temporary, deprecated, or not yet assigned (ip address)"
	case unstable > 0:
		why += ", or are temporary, deprecated, or not yet assigned (ip address)"
	}
	remedy := "set " + strings.Join(missing, " and ") + " in the configuration"
	if len(host.Addresses) == 0 {
		remedy = "connect the host to a network, or " + remedy
	}
	return &catalog.Refusal{
		Code: "no-underlay-address", Field: missing[0],
		Message: "this host has no address at which other gateways could reach it: " + why, Remedy: remedy,
	}
}

package interference

import (
	"fmt"
	"slices"

	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/routes"
)

// maxDevices bounds the devices that a problem names.
const maxDevices = 5

// NotForwarded returns the problem of devices from which this host forwards no IPv4 packets
// of pods, although it forwards those of other devices.
func (p Paths) NotForwarded() []plan.Problem {
	s := p.scope()
	var out []plan.Problem
	for _, device := range p.Host.NotForwarding {
		carries := s.carriesPods(device, routes.IPv4) ||
			slices.ContainsFunc(s.pods[routes.IPv4], func(each pod) bool { return each.device == device })
		if !carries || len(out) == maxDevices {
			continue
		}
		out = append(out, plan.Problem{
			Code: "traffic-filtered", Severity: plan.Error, Subject: "device " + device,
			Message: fmt.Sprintf("packets of pods to other datacenters that arrive on %s are dropped: this host does not forward from that device (net.ipv4.conf.%s.forwarding is 0)", device, device),
			Remedy:  fmt.Sprintf("run sysctl -w net/ipv4/conf/%s/forwarding=1, and correct what sets it to 0 at boot", device),
		})
	}
	return out
}

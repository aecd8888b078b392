package gatewayplan

import (
	"fmt"
	"net/netip"

	"github.com/meshway/meshway/agent/config"
	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/agent/plan/acceptance"
	"github.com/meshway/meshway/consensus/catalog"
)

// RefuseDatacenter returns why a gateway does not admit a datacenter, or nil: the
// gateway's host reaches a part of its prefixes otherwise. The request is from the first
// gateway of the datacenter.
func RefuseDatacenter(in plan.Inputs, dc catalog.Datacenter, first catalog.Gateway) error {
	in.Host = beforeJoin(in.Host)
	l := localRangesOf(in)
	l.Host = plan.GatewaySubject(in.Self)
	l.Reached = map[catalog.DatacenterName][]netip.Addr{}
	for _, hostport := range first.Endpoints {
		// There is no handshake yet. The plan requires one.
		if at, err := netip.ParseAddrPort(hostport); err == nil {
			l.Reached[dc.Name] = append(l.Reached[dc.Name], at.Addr().Unmap())
		}
	}
	var found plan.Problems
	l.JudgeRecord(dc, &found)
	return refusal(found, "prefixes", fmt.Sprintf("on the gateways of datacenter %s, ", in.Self.Datacenter()))
}

// RefuseOverlay returns why a host cannot be in a federation with an overlay, or
// nil: it reaches a part of the overlay otherwise, or lacks its family.
func RefuseOverlay(cfg config.Config, h plan.Host, overlay netip.Prefix) error {
	if err := acceptance.RefuseIPv6(h, overlay); err != nil {
		return err
	}
	var found plan.Problems
	acceptance.NewLocalRanges(cfg, beforeJoin(h), nil).JudgeOverlay(overlay, &found)
	return refusal(found, "overlay", "")
}

// RefuseInterfaces returns why a host cannot have Meshway's interfaces, or nil: others have
// their names, such as an uplink mesh1.
func RefuseInterfaces(cfg config.Config, h plan.Host) error {
	if len(h.Foreign) == 0 {
		return nil
	}
	return &catalog.Refusal{
		Code: "interface-exists", Field: "wireguard.interface",
		Message: fmt.Sprintf("interface %s of this host was not created by Meshway, whose interfaces are named %s0, %s1 and so on",
			h.Foreign[0], cfg.WireGuard.Interface, cfg.WireGuard.Interface),
		Remedy: "set wireguard.interface to another prefix of names, or rename that interface",
	}
}

// beforeJoin returns a host of which the routes of all tables count: those to which policy
// rules point are there before the range is announced.
func beforeJoin(h plan.Host) plan.Host {
	h.Earlier = h.PolicyRoutes
	return h
}

// refusal returns the first problem as a refusal, with the place of its remedy,
// or nil if there is no problem.
func refusal(found plan.Problems, field, where string) error {
	if len(found) == 0 {
		return nil
	}
	p := found.Sorted()[0]
	return &catalog.Refusal{Code: p.Code, Field: field, Message: p.Message, Remedy: where + p.Remedy}
}

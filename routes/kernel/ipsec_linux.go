package kernel

import (
	"context"
	"errors"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/meshway/meshway/routes"
)

const (
	maxPolicies      = 1024
	getDefaultPolicy = 0x28 // XFRM_MSG_GETDEFAULT
	blockByDefault   = 1    // XFRM_USERPOLICY_BLOCK
)

// policies reads the policies of IPsec. A kernel without IPsec has none.
func (o observer) policies(_ context.Context, to *routes.Observed) error {
	var list []netlink.XfrmPolicy
	for _, family := range []int{netlink.FAMILY_V4, netlink.FAMILY_V6} { // of both at once, ::/0 looks like 0.0.0.0/0
		found, err := netlink.XfrmPolicyList(family)
		switch {
		case err != nil && !errors.Is(err, netlink.ErrDumpInterrupted): // what was read until then is enough
			return nil // the kernel has none, or does not permit to read them: routes do not depend on them
		}
		list = append(list, found...)
	}
	for _, p := range list {
		direction, ok := directions()[p.Dir]
		if !ok || len(to.Policies) >= maxPolicies {
			continue // of one socket
		}
		out := routes.IPsecPolicy{
			Direction: direction, Source: prefixOf(p.Src), Destination: prefixOf(p.Dst), Protocol: uint8(p.Proto),
			FromPort: uint16(p.SrcPort), ToPort: uint16(p.DstPort), //nolint:gosec // ports
			Priority: p.Priority, Block: p.Action == netlink.XFRM_POLICY_BLOCK,
			Partial: p.Mark != nil && p.Mark.Mask != 0 || p.Ifid != 0 || p.Ifindex != 0,
		}
		for _, t := range p.Tmpls {
			out.Encapsulate = out.Encapsulate || t.Optional == 0
		}
		to.Policies = append(to.Policies, out)
	}
	to.Policies = append(to.Policies, defaultPolicies()...)
	return nil
}

func directions() map[netlink.Dir]string {
	return map[netlink.Dir]string{netlink.XFRM_DIR_IN: "in", netlink.XFRM_DIR_OUT: "out", netlink.XFRM_DIR_FWD: "fwd"}
}

// defaultPolicies returns the directions in which packets without a policy are dropped.
// Kernels before 5.14 have none.
func defaultPolicies() []routes.IPsecPolicy {
	request := nl.NewNetlinkRequest(getDefaultPolicy, 0)
	request.AddRawData([]byte{0, 0, 0, 0})
	answers, err := request.Execute(unix.NETLINK_XFRM, getDefaultPolicy)
	if err != nil || len(answers) == 0 {
		return nil
	}
	var out []routes.IPsecPolicy
	for i, direction := range []string{"in", "fwd", "out"} {
		if len(answers[0]) > i && answers[0][i] == blockByDefault {
			out = append(out, routes.IPsecPolicy{Direction: direction, Default: true, Block: true})
		}
	}
	return out
}

// prefixOf returns a prefix of addresses; the zero Prefix if there is none.
func prefixOf(n *net.IPNet) netip.Prefix {
	if n == nil {
		return netip.Prefix{}
	}
	a, ok := netip.AddrFromSlice(n.IP)
	bits, _ := n.Mask.Size()
	if !ok {
		return netip.Prefix{}
	}
	return netip.PrefixFrom(a.Unmap(), bits)
}

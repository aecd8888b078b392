package admin

import (
	"context"
	"fmt"
	"net/netip"

	"connectrpc.com/connect"

	"github.com/meshway/meshway/agent/control/controlpb"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/allowlist"
)

// AllowPrefixes lets the other datacenters announce prefixes in the ranges.
func (h Handler) AllowPrefixes(ctx context.Context, r *connect.Request[controlpb.AllowPrefixesRequest]) (*connect.Response[controlpb.AllowPrefixesResponse], error) {
	federation, err := h.Agent.Member()
	if err != nil {
		return nil, err
	}
	var ranges []netip.Prefix
	for i, text := range r.Msg.GetCidrs() {
		p, err := netip.ParsePrefix(text)
		if err != nil {
			return nil, invalid(catalog.At("cidrs", i), fmt.Sprintf("%q is not a prefix", text), "write it as address/length: 203.0.113.0/24")
		}
		ranges = append(ranges, p)
	}
	if refusal := allowlist.CheckAllowable(ranges); refusal != nil {
		return nil, refusal
	}
	results, err := federation.Propose(ctx, catalog.NewAllowPrefixes(ranges))
	if err != nil {
		return nil, err
	}
	if refusal := results[0].Refusal; refusal != nil {
		return nil, refusal
	}
	return connect.NewResponse(&controlpb.AllowPrefixesResponse{Allowed: federation.View().Settings().Proto().GetAllowed()}), nil
}

package admin

import (
	"context"
	"fmt"
	"net/netip"

	"connectrpc.com/connect"

	"github.com/meshway/meshway/agent/control/controlpb"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/allowlist"
	"github.com/meshway/meshway/consensus/catalog/catalogpb"
)

// AllowPrefixes lets the other datacenters announce prefixes in ranges, or no longer, and
// returns the ranges that are allowed then. Without ranges it only returns them.
func (h Handler) AllowPrefixes(ctx context.Context, r *connect.Request[controlpb.AllowPrefixesRequest]) (*connect.Response[controlpb.AllowPrefixesResponse], error) {
	federation, err := h.Agent.Member()
	if err != nil {
		return nil, err
	}
	added, err := allowable("cidrs", r.Msg.GetCidrs())
	if err != nil {
		return nil, err
	}
	removed, err := parseRanges("removed", r.Msg.GetRemoved())
	if err != nil {
		return nil, err
	}
	var commands []*catalogpb.Command
	if len(added) > 0 {
		commands = append(commands, catalog.NewAllowPrefixes(added))
	}
	if len(removed) > 0 {
		own := federation.CA().Datacenter()
		if refusal := allowlist.CheckRemovable(federation.View().Settings(), own, removed); refusal != nil {
			return nil, refusal
		}
		commands = append(commands, catalog.NewDisallowPrefixes(removed))
	}
	if len(commands) > 0 {
		results, err := federation.Propose(ctx, commands...)
		if err != nil {
			return nil, err
		}
		for _, result := range results {
			if result.Refusal != nil {
				return nil, result.Refusal
			}
		}
	}
	return connect.NewResponse(&controlpb.AllowPrefixesResponse{Allowed: federation.View().Settings().Proto().GetAllowed()}), nil
}

// allowable parses ranges that are to be allowed.
func allowable(field string, texts []string) ([]netip.Prefix, error) {
	ranges, err := parseRanges(field, texts)
	if err != nil {
		return nil, err
	}
	if refusal := allowlist.CheckAllowable(ranges); refusal != nil {
		return nil, refusal
	}
	return ranges, nil
}

func parseRanges(field string, texts []string) ([]netip.Prefix, error) {
	var ranges []netip.Prefix
	for i, text := range texts {
		p, err := netip.ParsePrefix(text)
		if err != nil {
			return nil, invalid(catalog.At(field, i), fmt.Sprintf("%q is not a prefix", text), "write it as address/length: 203.0.113.0/24")
		}
		ranges = append(ranges, p)
	}
	return ranges, nil
}

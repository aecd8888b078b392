package admin

import (
	"context"
	"time"

	"connectrpc.com/connect"

	"github.com/meshway/meshway/agent/control/controlpb"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/quota"
)

// SetLimits raises limits of the other datacenters, and returns those that can be raised.
// Without limits it only returns them.
func (h Handler) SetLimits(ctx context.Context, r *connect.Request[controlpb.SetLimitsRequest]) (*connect.Response[controlpb.SetLimitsResponse], error) {
	federation, err := h.Agent.Member()
	if err != nil {
		return nil, err
	}
	if limits := catalog.LimitsFromProto(r.Msg.GetLimits()); len(limits) > 0 {
		if _, err := catalog.One(federation.Propose(ctx, catalog.NewSetLimits(limits))); err != nil {
			return nil, err
		}
	}
	view, own := federation.View(), federation.CA().Datacenter()
	response := &controlpb.SetLimitsResponse{}
	for _, s := range quota.DefaultLimits().Settings(view.Settings(), view.Sponsors(time.Now()), own) {
		response.Limits = append(response.Limits, &controlpb.ResourceLimit{
			Resource: s.Resource, Most: uint64(s.Most), Default: uint64(s.Default), Highest: uint64(s.Highest), //nolint:gosec // not negative
			Set: catalog.Settings{Limits: s.Set}.Proto().GetLimits(),
		})
	}
	return connect.NewResponse(response), nil
}

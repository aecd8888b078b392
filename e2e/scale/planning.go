//go:build linux

package main

import (
	"context"

	"github.com/meshway/meshway/agent/plan/gatewayplan"
	"github.com/meshway/meshway/agent/status"
	"github.com/meshway/meshway/e2e/scale/workload"
)

func (b *bench) measurePlan(context.Context) (err error) {
	up, down := b.size.Inputs(true), b.size.Inputs(false)
	if b.result.Plan, err = b.median("plan, all tunnels up", timed(func() { gatewayplan.Compute(up) })); err != nil {
		return err
	}
	if b.result.PlanAllDown, err = b.median("plan, all tunnels down", timed(func() { gatewayplan.Compute(down) })); err != nil {
		return err
	}
	_, _, memo := gatewayplan.Memo{}.Compute(up)
	changed := workload.OneDatacenterChanged(b.size.Inputs(true))
	if b.result.PlanOneChange, err = b.median("plan after a change of one datacenter's prefixes", timed(func() { memo.Compute(changed) })); err != nil {
		return err
	}
	verdict := up // with the lists of the catalog, as in an agent
	verdict.Observed = down.Observed
	b.result.PlanVerdict, err = b.median("plan after verdicts on all tunnels", timed(func() { memo.Compute(verdict) }))
	return err
}

// measureStatus measures the status of an agent, with what it reads of the catalog.
func (b *bench) measureStatus(context.Context) (err error) {
	own, err := workload.NewCopy(b.size)
	if err != nil {
		return err
	}
	sources, desired := b.size.Sources(), own.Desired()
	b.result.Status, err = b.median("status", timed(func() {
		view := own.View()
		sources.Services = view.CountServices()
		sources.Queue.Pending = len(desired.Missing(view, noneUnsigned()))
		status.Build(sources)
	}))
	return err
}

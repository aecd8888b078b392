package controller

import (
	"context"
	"slices"
	"time"

	"github.com/meshway/meshway/agent/notify"
	"github.com/meshway/meshway/agent/plan"
)

const reportInterval = time.Second

// reportProblems calls Config.Report at each change of the problems until ctx ends,
// and without problems at the end.
func (c *Controller) reportProblems(ctx context.Context) {
	if c.cfg.Report == nil {
		return
	}
	defer c.cfg.Report(nil)
	var reported []plan.Problem
	var missing missingNamespaces
	notify.Loop(ctx, func(context.Context) time.Duration {
		problems := c.failures.problems(time.Now())
		if cache := c.cache.Load(); cache != nil {
			problems = append(problems, missing.problems(c.cfg.Catalog.View(), c.cfg.Datacenter, cache.namespace)...)
		}
		if !slices.Equal(problems, reported) {
			reported = problems
			c.cfg.Report(problems)
		}
		return reportInterval
	})
}

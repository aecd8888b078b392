package controller

import (
	"context"
	"slices"
	"time"

	"github.com/meshway/meshway/agent/kube/mcs"
	"github.com/meshway/meshway/agent/kube/mcs/namespaces"
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
	var missing namespaces.Missing
	notify.Loop(ctx, func(context.Context) time.Duration {
		problems := c.failures.problems(time.Now())
		if cache := c.cache.Load(); cache != nil {
			problems = append(problems, missing.Problems(c.cfg.Catalog.View(), c.cfg.Datacenter, cache.namespace)...)
			problems = append(problems, cache.invalidImports()...)
		}
		if !slices.Equal(problems, reported) {
			reported = problems
			c.cfg.Report(problems)
		}
		return reportInterval
	})
}

// invalidImports returns the problems of the annotations of namespaces.
func (c *clusterCache) invalidImports() []plan.Problem {
	var problems []plan.Problem
	for _, n := range c.annotated() {
		if _, valid := mcs.OriginsOf(n.Annotations); !valid {
			problems = append(problems, namespaces.InvalidImport(n.Name, n.Annotations[mcs.ImportAnnotation]))
		}
	}
	return problems
}

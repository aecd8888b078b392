// Package problemlog logs problems, with the same keys in all parts of the agent.
package problemlog

import (
	"context"
	"log/slog"
	"slices"

	"github.com/meshway/meshway/agent/plan"
)

// Write logs a problem at a level.
func Write(log *slog.Logger, level slog.Level, p plan.Problem) {
	log.Log(context.Background(), level, p.Message, "code", p.Code, "subject", p.Subject, "remedy", p.Remedy)
}

// WriteChanges logs, at a level, the problems that were not there before, and those of
// before that are resolved. Two problems are the same if their code and subject are.
func WriteChanges(log *slog.Logger, level slog.Level, before, now []plan.Problem) {
	for _, p := range now {
		if !contains(before, p) {
			Write(log, level, p)
		}
	}
	for _, p := range before {
		if !contains(now, p) {
			log.Info("resolved: "+p.Message, "code", p.Code, "subject", p.Subject)
		}
	}
}

func contains(problems []plan.Problem, p plan.Problem) bool {
	return slices.ContainsFunc(problems, func(q plan.Problem) bool { return q.Code == p.Code && q.Subject == p.Subject })
}

package main

import (
	"context"
	"log/slog"
	"net/http"

	"github.com/meshway/meshway/agent/api"
	"github.com/meshway/meshway/agent/api/access"
	"github.com/meshway/meshway/agent/config"
	"github.com/meshway/meshway/agent/member"
	"github.com/meshway/meshway/agent/membership"
	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/consensus/catalog"
)

// newCatalog returns what serves the catalog to programs until ctx ends.
func newCatalog(ctx context.Context, datacenter catalog.DatacenterName, a *membership.Agent) http.Handler {
	mux := http.NewServeMux()
	mux.Handle(api.New(api.Config{
		Datacenter: datacenter,
		Member:     func() (api.Member, error) { return a.Member() },
		Registrar:  func() (api.Registrar, error) { return a.Registrar() },
		Ended:      ctx.Done(),
		Sentinels:  member.Sentinels(),
	}))
	return mux
}

// programs is the port on which programs with a token use the catalog.
type programs struct {
	port   *port
	tokens *access.Tokens // nil: the port is off
}

func newPrograms(cfg config.Catalog, log *slog.Logger) programs {
	p := programs{port: &port{
		at: cfg.Listen, key: "catalog.listen", code: "catalog-port-unavailable",
		without: "programs reach the catalog only on the unix socket", log: log,
	}}
	if cfg.Listen.Port() != 0 {
		p.tokens = access.NewTokens(cfg.Tokens, log)
	}
	return p
}

// serve serves handler to programs with a token until ctx ends.
func (p programs) serve(ctx context.Context, handler http.Handler) error {
	if p.tokens == nil {
		return nil
	}
	return p.port.serve(ctx, p.tokens.Require(handler))
}

// problems returns the problems of the port and of the tokens, after others.
func (p programs) problems(others func() []plan.Problem) func() []plan.Problem {
	return func() []plan.Problem {
		out := p.port.problems(others)()
		if p.tokens == nil {
			return out
		}
		if err := p.tokens.Check(); err != nil {
			out = append(out, plan.Problem{
				Code:     "catalog-tokens-invalid",
				Severity: plan.Warning,
				Subject:  "catalog.tokens",
				Message:  "the catalog refuses all programs on catalog.listen, since its tokens cannot be used: " + err.Error(),
				Remedy:   "correct the file, which meshd then reads again; meshd config reference has its format",
			})
		}
		return out
	}
}

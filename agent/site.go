package agent

import (
	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/consensus/catalog"
)

// StaticSite is a site that owns what its configuration says, for ever.
type StaticSite []catalog.Prefix

var _ Site = StaticSite(nil)

// Current implements Site.
func (s StaticSite) Current() plan.Site { return plan.Site{Known: true, Prefixes: s} }

// Changed implements Site: it never is.
func (s StaticSite) Changed() <-chan struct{} { return nil }

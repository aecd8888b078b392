package dataplane

import (
	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/consensus/catalog"
)

// StaticSite is a Site that owns the prefixes of its configuration and never
// changes.
type StaticSite []catalog.Prefix

var _ Site = StaticSite(nil)

// Current implements Site.
func (s StaticSite) Current() plan.Site { return plan.Site{Known: true, Prefixes: s} }

// Changed implements Site.
func (s StaticSite) Changed() <-chan struct{} { return nil }

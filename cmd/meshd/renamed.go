package main

import (
	"fmt"

	"github.com/meshway/meshway/agent/identity"
	"github.com/meshway/meshway/agent/plan"
)

// hostName decides the name of the gateway if none is configured.
type hostName struct {
	renamed *plan.Problem // the host is called differently than when it became a member; nil: it is not
}

// gateway returns the name that the gateway has as a member, as the data directory
// has it; empty: it is no member. DHCP or cloud-init may have renamed the host since:
// the other members still know the gateway by its name.
func (h *hostName) gateway(dataDir, host string) string {
	name := identity.StoredGateway(dataDir)
	if name != "" && name != host {
		h.renamed = &plan.Problem{
			Code:     "host-renamed",
			Severity: plan.Warning,
			Subject:  "gateway " + name,
			Message:  fmt.Sprintf("gateway %s is named after its host, which is now called %q; it keeps its name", name, host),
			Remedy:   fmt.Sprintf("write \"gateway: %s\" in the configuration, or correct the name of the host (hostnamectl)", name),
		}
	}
	return name
}

// problems returns the problem of a renamed host.
func (h *hostName) problems() []plan.Problem {
	if h.renamed == nil {
		return nil
	}
	return []plan.Problem{*h.renamed}
}

package status

import (
	"net/netip"

	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/routes"
)

// RouteSources is everything that the report on routes is made of.
type RouteSources struct {
	Inputs   plan.Inputs
	Desired  plan.Desired
	Observed routes.Observed // of the kernel, now
	Lookup   *Lookup         // set when one address was asked for
}

// Lookup is the kernel's answer (RTM_GETROUTE) for one address.
type Lookup struct {
	Address netip.Addr
	Table   int
	Prefix  netip.Prefix
	Device  string
	Source  netip.Addr
	Error   string // the kernel's refusal: "no route to host"; empty: there is a route
}

// BuildRoutes explains the kernel's routes. It is pure and sorted.
func BuildRoutes(s RouteSources) RoutesReport { return RoutesReport{} }

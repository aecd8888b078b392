// Package limits reads the flags of federation limits.
package limits

import (
	"strings"

	"github.com/spf13/pflag"

	"github.com/meshway/meshway/agent/control/controlpb"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/catalogpb"
	"github.com/meshway/meshway/consensus/catalog/quota"
	"github.com/meshway/meshway/consensus/catalog/sponsor"
)

const memory, mib = "memory", 1 << 20

// Help is the help of the command.
const Help = `Raises how much the other datacenters may have in the catalog, each of them, or
lists the limits. 0 is the default, below which no limit can be set. The limit
of a datacenter is the highest that another one has set: none raises its own. A
datacenter that is above a limit keeps what it has. Raise the memory with the
others: it is an estimate of what each gateway of the federation needs for one
datacenter. It is refused, with their names, while gateways do not support it.`

// Flags adds a flag for each limit, and returns a function that returns the request of
// the flags that were given.
func Flags(flags *pflag.FlagSet) func() *controlpb.SetLimitsRequest {
	values := make(map[string]*uint32)
	var order []string
	for _, l := range quota.DefaultLimits().Settings(catalog.Settings{}, sponsor.Sponsors{}, "") {
		usage := "most `number` of " + l.Resource
		if l.Resource == memory {
			usage = "most memory of the records, in `MiB`"
		}
		values[l.Resource] = flags.Uint32(l.Resource, 0, usage+" (0: the default)")
		order = append(order, l.Resource)
	}
	return func() *controlpb.SetLimitsRequest {
		request := &controlpb.SetLimitsRequest{}
		for _, resource := range order {
			if !flags.Changed(resource) {
				continue
			}
			most := uint64(*values[resource])
			if resource == memory {
				most *= mib
			}
			request.Limits = append(request.Limits, &catalogpb.Limit{Resource: resource, Most: most})
		}
		return request
	}
}

// Text returns the limits of a request: "services, memory".
func Text(request *controlpb.SetLimitsRequest) string {
	var names []string
	for _, l := range request.GetLimits() {
		names = append(names, l.GetResource())
	}
	return strings.Join(names, ", ")
}

package agreement

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/meshway/meshway/consensus/catalog"
)

// HoldBack returns the refusal of a command of a level that some gateways do not support,
// or nil if there are none. by is the datacenter of its author, whose operator can remove
// the other datacenters.
func HoldBack(level uint32, by catalog.DatacenterName, behind []catalog.GatewayID) *catalog.Refusal {
	if len(behind) == 0 {
		return nil
	}
	remedy := "upgrade meshd on these gateways, then try again"
	if others := datacentersOf(behind, by); len(others) > 0 {
		command := fmt.Sprintf("meshctl datacenter remove %s --force", others[0])
		if len(others) > 1 {
			command = "meshctl datacenter remove NAME --force for each of " + list(others)
		}
		remedy += fmt.Sprintf("; if that is not done there, run %s; of three or more datacenters, a second one has to run it too "+
			"within 10 minutes while one that is removed answers; those join again with a token after the upgrade", command)
	}
	return &catalog.Refusal{
		Code: catalog.CodeFeatureLevel, Field: "version",
		Message: fmt.Sprintf("the command needs feature level %d, which %s not support: %s", level, countGateways(len(behind)), list(spread(behind))),
		Remedy:  remedy,
	}
}

func countGateways(n int) string {
	if n == 1 {
		return "1 gateway does"
	}
	return fmt.Sprintf("%d gateways do", n)
}

// datacentersOf returns the datacenters of gateways except one, sorted.
func datacentersOf(gateways []catalog.GatewayID, except catalog.DatacenterName) []catalog.DatacenterName {
	var names []catalog.DatacenterName
	for _, id := range gateways {
		if dc := id.Datacenter(); dc != except {
			names = append(names, dc)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// spread sorts gateways so that one of each datacenter precedes the second of any: those
// of one do not displace the others from a list that is cut.
func spread(gateways []catalog.GatewayID) []catalog.GatewayID {
	gateways = slices.Sorted(slices.Values(gateways))
	place, count := make(map[catalog.GatewayID]int), make(map[catalog.DatacenterName]int)
	for _, id := range gateways {
		place[id] = count[id.Datacenter()]
		count[id.Datacenter()]++
	}
	slices.SortStableFunc(gateways, func(a, b catalog.GatewayID) int { return cmp.Compare(place[a], place[b]) })
	return gateways
}

func list[T ~string](names []T) string {
	const most = 8
	var texts []string
	for _, name := range names[:min(len(names), most)] {
		texts = append(texts, string(name))
	}
	if len(names) > most {
		texts = append(texts, "…")
	}
	return strings.Join(texts, ", ")
}

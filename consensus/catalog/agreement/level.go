package agreement

import (
	"fmt"
	"strings"

	"github.com/meshway/meshway/consensus/catalog"
)

// HoldBack returns the refusal of a command of a level that some gateways do not support,
// or nil if there are none.
func HoldBack(level uint32, behind []catalog.GatewayID) *catalog.Refusal {
	if len(behind) == 0 {
		return nil
	}
	return &catalog.Refusal{
		Code: catalog.CodeFeatureLevel, Field: "version",
		Message: fmt.Sprintf("the command needs feature level %d, which %s not support: %s", level, countGateways(len(behind)), listGateways(behind)),
		Remedy: "upgrade meshd on these gateways, then try again; if one stays behind or is gone, remove its datacenter " +
			"with meshctl datacenter remove, and --force in two datacenters if it runs",
	}
}

func countGateways(n int) string {
	if n == 1 {
		return "1 gateway does"
	}
	return fmt.Sprintf("%d gateways do", n)
}

func listGateways(ids []catalog.GatewayID) string {
	const most = 8
	var texts []string
	for _, id := range ids[:min(len(ids), most)] {
		texts = append(texts, string(id))
	}
	if len(ids) > most {
		texts = append(texts, "…")
	}
	return strings.Join(texts, ", ")
}

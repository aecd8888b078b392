// Package removal returns the problems of a datacenter or a gateway that the federation
// has removed.
package removal

import (
	"fmt"
	"strings"

	"github.com/meshway/meshway/agent/identity"
	"github.com/meshway/meshway/agent/member"
	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/consensus/catalog"
)

// The codes of the problems.
const (
	CodeDatacenter = "removed"
	CodeGateway    = "gateway-removed"

	remedy = "run meshctl leave --force here, in Kubernetes with the --context of this cluster, then join again with a token of another datacenter (meshctl token create there)"
)

// OfDatacenter is the problem of a datacenter that was removed, as gateways of others report.
func OfDatacenter(m identity.Membership, dc catalog.DatacenterName, by []catalog.GatewayID) plan.Problem {
	return plan.Problem{
		Code:     CodeDatacenter,
		Severity: plan.Error,
		Subject:  fmt.Sprintf("datacenter %s", dc),
		Message: fmt.Sprintf("datacenter %s was removed from federation %s, as %s: the other members no longer trust it, and its name and prefixes may be taken",
			dc, m.FederationName, reporters(by)),
		Remedy: remedy,
	}
}

// Outside is the problem of a gateway that cannot enrol, since the catalog does
// not contain its datacenter.
func Outside(dc catalog.DatacenterName, err error) plan.Problem {
	return plan.Problem{
		Code:     CodeDatacenter,
		Severity: plan.Error,
		Subject:  fmt.Sprintf("datacenter %s", dc),
		Message:  fmt.Sprintf("this gateway cannot become a member, since datacenter %s was removed from its federation: %v", dc, err),
		Remedy:   remedy,
	}
}

// OfGateway is the problem of a gateway that alone was removed, as too few others report.
func OfGateway(m identity.Membership, self catalog.GatewayID, u member.UndecidedError) plan.Problem {
	p := plan.Problem{
		Code:     CodeGateway,
		Severity: plan.Error,
		Subject:  "gateway " + string(self),
		Message: fmt.Sprintf("gateway %s was removed from federation %s, as %s, and its datacenter is still a member; these are too few to delete the copy of the catalog on this host automatically",
			self, m.FederationName, reporters(u.Denied)),
		Remedy: "run meshctl leave --force on this host, in Kubernetes with the --context of this cluster: it deletes that copy, and the gateway enrols again",
	}
	if len(u.Silent) > 0 {
		p.Remedy = fmt.Sprintf("start the gateways of %s, whose reports decide; only if they are permanently lost, %s", join(u.Silent), p.Remedy)
	}
	return p
}

// reporters returns, for a message, that some gateways report something.
func reporters(by []catalog.GatewayID) string {
	if len(by) == 1 {
		return fmt.Sprintf("gateway %s reports", by[0])
	}
	return fmt.Sprintf("gateways %s report", join(by))
}

func join[S ~string](names []S) string {
	out := make([]string, len(names))
	for i, name := range names {
		out[i] = string(name)
	}
	return strings.Join(out, ", ")
}

package operator

import (
	"slices"

	"github.com/meshway/meshway/agent"
	"github.com/meshway/meshway/agent/control/controlpb/controlpbconnect"
	"github.com/meshway/meshway/consensus/catalog"
)

// Node serves meshctl on behalf of a node that is no gateway: it can be looked
// at. Refuse has to be asked before each call.
type Node struct {
	look
	unserved
}

// unserved is a level deeper than look, whose methods win.
type unserved struct {
	controlpbconnect.UnimplementedOperatorHandler
}

var _ controlpbconnect.OperatorHandler = Node{}

// NewNode returns a handler for one node.
func NewNode(node *agent.Node) Node { return Node{look: look{node}} }

// Refuse is a *catalog.Refusal for every procedure (of controlpbconnect) that
// only a gateway can answer.
func (Node) Refuse(procedure string) error {
	served := []string{
		controlpbconnect.OperatorVersionProcedure, controlpbconnect.OperatorStatusProcedure, controlpbconnect.OperatorRoutesProcedure,
	}
	if slices.Contains(served, procedure) {
		return nil
	}
	return &catalog.Refusal{
		Code:    "not-a-gateway",
		Message: "this node is no gateway: it only routes to the gateways of its cluster",
		Remedy:  "ask a gateway (meshctl --context CONTEXT, without --node); here only meshctl status, routes and version are answered",
	}
}

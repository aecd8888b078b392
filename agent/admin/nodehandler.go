package admin

import (
	"slices"

	"github.com/meshway/meshway/agent/control/controlpb/controlpbconnect"
	"github.com/meshway/meshway/agent/dataplane"
	"github.com/meshway/meshway/consensus/catalog"
)

// NodeHandler serves meshctl on a node: Version, Status and Routes. Its method
// Refuse is the Refuse of the server's Config.
type NodeHandler struct {
	inspection
	unserved
}

// unserved embeds the methods that return CodeUnimplemented one level deeper than
// inspection, whose methods take precedence.
type unserved struct {
	controlpbconnect.UnimplementedOperatorHandler
}

var _ controlpbconnect.OperatorHandler = NodeHandler{}

// NewNodeHandler returns the handler of one node.
func NewNodeHandler(node *dataplane.Node) NodeHandler {
	return NodeHandler{inspection: inspection{node}}
}

// Refuse returns a *catalog.Refusal for a procedure (of controlpbconnect) that
// only a gateway serves, nil for the others.
func (NodeHandler) Refuse(procedure string) error {
	served := []string{
		controlpbconnect.OperatorVersionProcedure, controlpbconnect.OperatorStatusProcedure, controlpbconnect.OperatorRoutesProcedure,
	}
	if slices.Contains(served, procedure) {
		return nil
	}
	return &catalog.Refusal{
		Code:    "not-a-gateway",
		Message: "this node is not a gateway: it only routes to the gateways of its cluster",
		Remedy:  "run the command on a gateway (meshctl --context CONTEXT, without --node); a node serves only meshctl status, routes and version",
	}
}

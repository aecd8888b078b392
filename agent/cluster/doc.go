// Package cluster runs the agent on a host of a Kubernetes cluster: as a gateway
// or as a node, depending on the label of its Node, until the chart is
// uninstalled. It holds what happens over time; cmd/meshd constructs the parts.
package cluster

// Package kube looks at the cluster that the agent runs in, through its own
// API server only: which prefixes the cluster owns, which nodes are gateways,
// and whether this node is one. What it saw last is kept on disk, so that an
// agent starts while the API server is away.
package kube

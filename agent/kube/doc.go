// Package kube connects the agent with the API server of the cluster that it
// runs in. It discovers which prefixes the cluster owns and which nodes are
// gateways, follows the role of the own node, and keeps the state that the
// gateways of the cluster share. The last observations are cached on disk, so
// that an agent starts while the API server is unavailable.
package kube

// Package kubetest has what the contracts of agent/kube and its packages share: a
// cluster, which is an API server in memory or a real one, and the functions that run
// a contract on either.
package kubetest

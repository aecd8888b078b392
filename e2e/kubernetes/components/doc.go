// Package components builds the programs of a cluster from their Go modules into
// the user's cache, without a container registry.
//
// Each subdirectory is a module that only pins versions, so that the go.mod of
// the tests does not depend on Kubernetes.
package components

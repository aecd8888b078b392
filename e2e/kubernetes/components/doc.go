// Package components builds the programs that a cluster is made of, from their
// Go modules, once into the user's cache. No container registry is needed.
//
// Each folder is a module that only pins versions, so that nothing of
// Kubernetes comes into the go.mod of the tests.
package components

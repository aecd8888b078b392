// Package siblingstest is the contract of kube.Siblings, for an API server in memory
// and a real one.
package siblingstest

// Package siblingstest has the promises of kube.Siblings as a table that runs on
// an API server in memory and on a real one.
package siblingstest

// Package mcs runs the contract tests of package mcstest, and those of other
// packages that use the API of Kubernetes, against a real API server.
package mcs

// Package netns holds the promises that only real processes can keep or
// break: meshd and meshctl on hosts made of namespaces. It has only tests, for
// root: go test -tags root ./e2e/netns.
package netns

// Package netns tests the processes meshd and meshctl on hosts that consist of
// namespaces. It contains only tests, which require root: go test -tags root
// ./e2e/netns.
package netns

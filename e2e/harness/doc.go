// Package harness creates hosts from namespaces and connects them to networks
// without an uplink, for the demonstration and for tests that need root.
// Product code never imports it.
//
// A program that uses it calls [Main] before anything else: the first process
// of a host and its servers are further processes of the same program.
package harness

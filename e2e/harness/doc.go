// Package harness makes hosts out of namespaces and joins them into networks
// without an uplink, for the demonstration and for tests that need root.
// Product code never imports it.
//
// A program that uses it calls [Main] before anything else: a host's first
// process and its servers are the program itself, started again.
package harness

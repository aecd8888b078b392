// Package mcstest holds what the tests of the Multi-Cluster Services API share:
// a catalog without raft, and the table of promises that runs against the fake
// API and against a real API server.
package mcstest

// Package mcs runs the table of promises of the Multi-Cluster Services
// controllers against a real API server.
package mcs

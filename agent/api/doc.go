// Package api serves programs: it lists the services of all datacenters, and sends
// their changes as they happen (service meshway.catalog.v1.Catalog). It reads the
// catalog of a member and has no state of its own.
//
// What a caller is sent is bounded in memory (maxMemory). With 10,000 services of 64
// labels, the most of a datacenter, 12 parallel lists hold 30 MiB: one is sent at a time.
package api

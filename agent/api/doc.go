// Package api serves programs: it lists the services of all datacenters, and sends
// their changes as they happen (service meshway.catalog.v1.Catalog). It reads the
// catalog of a member and has no state of its own.
package api

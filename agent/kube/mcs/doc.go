// Package mcs decides what the Multi-Cluster Services API (KEP-1645) wants: what
// this cluster's ServiceExports make the catalog say, how the exports of all
// datacenters merge into one service, and which objects make that service
// usable here. It is pure: it reads no API and no clock.
package mcs

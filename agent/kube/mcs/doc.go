// Package mcs computes what the Multi-Cluster Services API (KEP-1645) requires:
// which records of the catalog this cluster's ServiceExports produce, how the
// exports of all datacenters merge into one service, and which objects make that
// service usable in this cluster. It is pure: it reads no API and no clock.
package mcs

// Package controller makes a cluster and the catalog hold what package mcs
// decides. It needs only the API server of its own cluster. Of the gateways of a
// cluster one does the work, the holder of a Lease: the Lease is in the API server
// that is written to, so who cannot renew it cannot write either.
package controller

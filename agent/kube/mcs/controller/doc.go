// Package controller writes the objects of a cluster and the records of the catalog
// that package mcs computes. It accesses only the API server of its own cluster. Of
// the gateways of a cluster the holder of a Lease writes. The Lease is in the API
// server that the gateway writes to, so a gateway that cannot renew it cannot write
// either.
package controller

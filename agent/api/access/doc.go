// Package access decides which programs may use the catalog on a port of this host:
// those with a token of a file.
package access

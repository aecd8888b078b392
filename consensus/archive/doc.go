// Package archive implements the file format of a saved catalog: a gzipped tar of
// meta.json and catalog.bin. It needs neither raft nor a running node, so that
// meshctl can inspect an archive on any host.
package archive

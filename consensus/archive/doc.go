// Package archive is the file format of a saved catalog: a gzipped tar of
// meta.json and catalog.bin. It knows neither raft nor a running node, so that
// meshctl can inspect an archive anywhere.
package archive

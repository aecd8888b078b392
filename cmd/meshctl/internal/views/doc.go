// Package views owns the documents that -o json and -o yaml print, and their tables.
// The documents are stable: fields are only added. Times are RFC 3339, durations
// nanoseconds (…Ns). The documents of status and routes are
// agent/status.Snapshot and agent/status.RoutesReport, as meshd sends them.
package views

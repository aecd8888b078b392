// Package status reports the state of Meshway: one snapshot, rendered as
// metrics, as health endpoints and by meshctl.
package status

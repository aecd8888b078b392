// Package status is what Meshway tells of itself: one snapshot, rendered as
// metrics, as health endpoints and by meshctl.
package status

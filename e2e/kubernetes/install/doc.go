// Package install installs Meshway on clusters as a user does: the chart with
// Helm, and the federation with meshctl.
package install

// Package install puts Meshway on clusters as a user does: the chart with Helm,
// then meshctl.
package install

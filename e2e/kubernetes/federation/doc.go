// Package federation tests Meshway as a user installs it: the chart on real
// clusters, joined with the commands that the README shows.
package federation

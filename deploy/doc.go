// Package deploy tests the files with which Meshway is deployed: the systemd unit,
// the example configurations, the changelog and the workflows of a release.
package deploy

// Package deploy tests the files with which Meshway is deployed: the systemd unit and
// the example configurations.
package deploy

// Package deploy holds what puts Meshway onto hosts: a systemd unit and
// configurations to begin with, which its test keeps valid.
package deploy

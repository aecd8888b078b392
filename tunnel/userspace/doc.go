// Package userspace runs wireguard-go in a process of its own, so that an
// agent's restart is no outage. Backend starts and ends such processes for
// tunnel/device; Run is what such a process does.
package userspace

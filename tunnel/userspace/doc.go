// Package userspace runs wireguard-go in its own process, so that tunnels keep
// working while the agent restarts. Backend starts and terminates these
// processes for tunnel/device; Run is the body of such a process. In a cluster,
// Remote requests the processes from a Supervisor in another container.
package userspace

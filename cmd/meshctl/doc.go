// Command meshctl is the operator's tool: it calls the meshd of this host over a
// unix socket, or that of a Kubernetes cluster through kubectl, and prints the
// answers. It has no state of its own, and links neither netlink nor Raft. This
// package has the commands; what they share is in packages below internal.
package main

// Command meshctl is the operator's tool: it speaks to the meshd of this host
// over its unix socket and shows what meshd tells. It holds no state, no
// netlink, no raft: what it does is a call, and what it prints is a view.
package main

// Package cluster starts real Kubernetes clusters on this machine: each node is
// a host of package harness with its own containerd, kubelet and kube-proxy,
// and the first node of a cluster also runs its control plane. A router without
// an uplink connects the nodes of all clusters, as the Internet connects
// datacenters.
//
//	              console (kubectl, helm, meshctl)
//	                 │
//	east-1 ─┐   ┌── router ──┐   ┌─ west-1
//	east-2 ─┴─ LAN          LAN ─┴─ west-2
//
// A program that uses it calls [Main] before anything else.
package cluster

// Package device implements tunnel.Device on Linux: rtnetlink for the links,
// wgctrl for keys and peers. The kernel's WireGuard and wireguard-go are
// configured in the same way; they differ only in how an interface is created
// and removed, which is the task of a Backend (tunnel/kernel, tunnel/userspace).
package device

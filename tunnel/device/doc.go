// Package device is the Linux half of tunnel.Device: rtnetlink for the links,
// wgctrl for keys and peers. The kernel's WireGuard and wireguard-go are spoken
// to in the same way; they differ only in how an interface is made and
// removed, which is a Backend (tunnel/kernel, tunnel/userspace).
package device

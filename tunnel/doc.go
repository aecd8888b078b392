// Package tunnel describes WireGuard interfaces as values, computes what
// differs from the real ones (Diff), and applies the difference through a
// Device (Apply). It adopts interfaces that exist and never deletes one to
// make it again: a restarted agent leaves sessions as they were. It is pure;
// the adapters are tunnel/device with tunnel/kernel and tunnel/userspace.
package tunnel

// Package kernel creates interfaces of the kernel's own WireGuard. It is a
// Backend of tunnel/device, which does everything else.
package kernel

import (
	"context"
	"errors"
	"fmt"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// probeName is the name of the interface that Supported creates and deletes. No
// lane has this name, because the name of a lane ends in a number.
const probeName = "mesh-probe"

// Backend creates links of type wireguard.
type Backend struct{}

// New returns the backend.
func New() *Backend { return &Backend{} }

// Kind implements device.Backend.
func (*Backend) Kind() string { return "kernel" }

// Create implements device.Backend.
func (*Backend) Create(ctx context.Context, name string, mtu int) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := netlink.LinkAdd(&netlink.Wireguard{LinkAttrs: attrs(name, mtu)}); err != nil {
		return explain(name, err)
	}
	return nil
}

// Remove implements device.Backend. A missing interface is no error.
func (*Backend) Remove(ctx context.Context, name string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	link, err := netlink.LinkByName(name)
	if errors.As(err, new(netlink.LinkNotFoundError)) {
		return nil
	}
	if err == nil {
		err = netlink.LinkDel(link)
	}
	if err != nil && !errors.Is(err, unix.ENODEV) {
		return fmt.Errorf("delete link %s: %w", name, err)
	}
	return nil
}

// Supported returns why the kernel cannot be the data plane, or nil if it can.
// It creates an interface and deletes it again, which is the only check that
// covers a missing module (the kernel loads it on demand), a missing capability
// and a container that may not load modules. The interface has no key and no
// address, and is never up.
func Supported(ctx context.Context) error {
	b := New()
	if err := b.Create(ctx, probeName, 0); err != nil && !errors.Is(err, unix.EEXIST) {
		return err
	}
	return b.Remove(ctx, probeName)
}

func attrs(name string, mtu int) netlink.LinkAttrs {
	a := netlink.NewLinkAttrs()
	a.Name, a.MTU = name, mtu
	return a
}

func explain(name string, err error) error {
	switch {
	case errors.Is(err, unix.EOPNOTSUPP):
		return fmt.Errorf("create link %s: this kernel has no WireGuard: load the module (modprobe wireguard), or use the userspace data plane: %w", name, err)
	case errors.Is(err, unix.EPERM):
		return fmt.Errorf("create link %s: needs root or CAP_NET_ADMIN: %w", name, err)
	}
	return fmt.Errorf("create link %s: %w", name, err)
}

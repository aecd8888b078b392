// Package kernel makes interfaces of the kernel's own WireGuard. It is a
// Backend of tunnel/device, which does everything else.
package kernel

import (
	"context"
	"errors"
	"fmt"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// probeName is the name of the interface that Supported makes and deletes. No
// lane has it: a lane's name ends in a number.
const probeName = "mesh-probe"

// Backend makes links of type wireguard.
type Backend struct{}

// New makes the backend.
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

// Remove implements device.Backend; a missing interface is nil.
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

// Supported says why the kernel cannot be the data plane, or nil if it can.
// It makes an interface and deletes it again, which is the only answer that
// also covers the missing module (asking makes the kernel load it), the
// missing right and the container that may not load modules. The interface
// has no key, no address and is never up.
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
		return fmt.Errorf("make link %s: this kernel has no WireGuard: load the module (modprobe wireguard), or use the userspace data plane: %w", name, err)
	case errors.Is(err, unix.EPERM):
		return fmt.Errorf("make link %s: needs root or CAP_NET_ADMIN: %w", name, err)
	}
	return fmt.Errorf("make link %s: %w", name, err)
}

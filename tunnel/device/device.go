package device

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.zx2c4.com/wireguard/wgctrl"

	"github.com/meshway/meshway/tunnel"
)

// Alias is that of every interface that Meshway created. An interface without it is
// foreign, even if its name matches.
const Alias = tunnel.Alias

// maxName is IFNAMSIZ without the final zero byte.
const maxName = 15

// Backend creates and removes the interfaces of one kind of data plane.
type Backend interface {
	// Create creates an interface that does not exist yet, and returns when
	// wgctrl can configure it.
	Create(ctx context.Context, name string, mtu int) error
	// Remove removes an interface of this kind.
	Remove(ctx context.Context, name string) error
	// Kind returns "kernel" or "userspace".
	Kind() string
}

// Config configures a Device.
type Config struct {
	Prefix   string       // of the interface names, followed by the lane: mesh0, mesh1
	Backend  Backend      // creates interfaces
	Removers []Backend    // for adopted interfaces of another kind than Backend's
	Log      *slog.Logger // nil: discard
	// SysctlRoot replaces /proc/sys, which is read-only in containers; empty: no.
	SysctlRoot string
}

// Device implements tunnel.Device. It holds neither sockets nor state: every
// call reads from the kernel.
type Device struct {
	cfg Config
	log *slog.Logger
}

var _ tunnel.Device = (*Device)(nil)

// New returns a device. It does not access the kernel yet.
func New(cfg Config) *Device {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	return &Device{cfg: cfg, log: cfg.Log}
}

// List implements tunnel.Device. It reads only links with Meshway's name prefix
// and alias, so that a broken foreign interface cannot make it fail.
func (d *Device) List(ctx context.Context) ([]tunnel.Observed, error) {
	h, err := openLinks(ctx)
	if err != nil {
		return nil, err
	}
	defer h.Close()
	links, err := h.list()
	if err != nil {
		return nil, err
	}
	var out []tunnel.Observed
	for _, link := range links {
		if lane, ok := d.lane(link.Attrs().Name); ok && link.Attrs().Alias == Alias {
			o := observeLink(link)
			o.Lane = lane
			out = append(out, o)
		}
	}
	if len(out) == 0 {
		return nil, nil
	}
	sortByName(out)
	return out, d.measure(h, out)
}

// measure fills in the addresses, the keys and the peers.
func (d *Device) measure(h links, out []tunnel.Observed) error {
	client, err := wgctrl.New()
	if err != nil {
		return fmt.Errorf("open wireguard control: %w", err)
	}
	defer client.Close()
	for i := range out {
		o := &out[i]
		if o.Addresses, o.Err = h.addresses(o.Index); o.Err != nil {
			continue
		}
		dev, keyed, err := readDevice(client, o.Name)
		if err != nil {
			o.Err = explainError(o.Name, err)
			continue
		}
		observeDevice(o, dev, keyed)
	}
	return nil
}

// Create implements tunnel.Device.
func (d *Device) Create(ctx context.Context, name string, mtu int) error {
	if _, ok := d.lane(name); !ok || len(name) > maxName {
		return fmt.Errorf("interface name %q: want %q and a number, at most %d bytes", name, d.cfg.Prefix, maxName)
	}
	h, err := openLinks(ctx)
	if err != nil {
		return err
	}
	defer h.Close()
	link, err := h.byName(name)
	switch {
	case err == nil:
		return d.adopt(h, link)
	case !errors.As(err, new(netlink.LinkNotFoundError)):
		return err
	}
	if err := d.removeFormer(ctx, h); err != nil {
		return err
	}
	if err := d.cfg.Backend.Create(ctx, name, mtu); err != nil {
		return err
	}
	if link, err = h.byName(name); err != nil {
		return err
	}
	d.log.Info("created interface", "device", name, "dataplane", d.cfg.Backend.Kind(), "mtu", mtu)
	return h.setAlias(link)
}

// removeFormer removes Meshway's interfaces with another name prefix, which was
// configured before: they use the ports of the new ones.
func (d *Device) removeFormer(ctx context.Context, h links) error {
	list, err := h.list()
	if err != nil {
		return err
	}
	for _, link := range list {
		name := link.Attrs().Name
		if _, ours := d.lane(name); ours || link.Attrs().Alias != Alias {
			continue
		}
		if err := d.Remove(ctx, name); err != nil {
			return fmt.Errorf("remove interface %s, which had another name prefix: %w", name, err)
		}
	}
	return nil
}

// adopt accepts an existing interface. An agent that is killed between creating
// a link and setting its alias leaves a link that carries no traffic yet, so
// adopting it is safe. Every other link without the alias is foreign.
func (d *Device) adopt(h links, link netlink.Link) error {
	if link.Attrs().Alias == Alias {
		return nil
	}
	name := link.Attrs().Name
	if kindOf(link) != "" && link.Attrs().Flags&net.FlagUp == 0 {
		if blank, err := isUnconfigured(name); err == nil && blank {
			d.log.Info("adopted unused interface", "device", name)
			return h.setAlias(link)
		}
	}
	return fmt.Errorf("interface %s (%s) exists and was not created by Meshway: remove it, or choose another interface name prefix",
		name, link.Type())
}

// Configure implements tunnel.Device.
func (d *Device) Configure(ctx context.Context, c tunnel.Change) error {
	h, err := openLinks(ctx)
	if err != nil {
		return err
	}
	defer h.Close()
	link, err := h.owned(c.Name)
	if err != nil {
		return err
	}
	d.log.Info("changing interface", "device", c.Name, "change", c.String())
	// Keys and peers are configured before the link is up and has its address,
	// so that its first packet finds them in place.
	if err := configureDevice(c, d.server(c.Name)); err != nil {
		return err
	}
	if slices.ContainsFunc(c.AddAddresses, func(p netip.Prefix) bool { return p.Addr().Is6() }) {
		enableIPv6(filepath.Join(cmp.Or(d.cfg.SysctlRoot, "/proc/sys"), ipv6Settings), c.Name)
	}
	return h.configure(link, c)
}

// server returns the process that serves an interface, 0 if there is none.
func (d *Device) server(name string) int {
	for _, b := range append([]Backend{d.cfg.Backend}, d.cfg.Removers...) {
		if s, ok := b.(interface{ Server(name string) int }); ok {
			return s.Server(name)
		}
	}
	return 0
}

// Remove implements tunnel.Device.
func (d *Device) Remove(ctx context.Context, name string) error {
	h, err := openLinks(ctx)
	if err != nil {
		return err
	}
	defer h.Close()
	link, err := h.owned(name)
	if errors.As(err, new(netlink.LinkNotFoundError)) {
		return nil
	}
	if err != nil {
		return err
	}
	d.log.Info("removing interface", "device", name)
	for _, b := range append([]Backend{d.cfg.Backend}, d.cfg.Removers...) {
		if b.Kind() == kindOf(link) {
			return b.Remove(ctx, name)
		}
	}
	// An adopted interface of a kind for which there is no backend. Deleting
	// the link also ends a wireguard-go process, because its TUN device fails.
	return h.remove(link)
}

// lane returns the number after the prefix.
func (d *Device) lane(name string) (uint32, bool) {
	digits, ok := strings.CutPrefix(name, d.cfg.Prefix)
	if !ok || digits == "" || digits != "0" && digits[0] == '0' {
		return 0, false
	}
	n, err := strconv.ParseUint(digits, 10, 32)
	return uint32(n), err == nil
}

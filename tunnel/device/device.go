package device

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.zx2c4.com/wireguard/wgctrl"

	"github.com/meshway/meshway/tunnel"
)

// Alias is the link alias (IFLA_IFALIAS, "ip link show" prints it) of every
// interface that Meshway made. Without it an interface is somebody else's,
// whatever its name.
const Alias = "meshway"

// maxName is IFNAMSIZ less the final zero byte.
const maxName = 15

// Backend makes and removes the interfaces of one kind of data plane.
type Backend interface {
	// Create makes an interface, which does not exist yet, and returns when
	// wgctrl can configure it.
	Create(ctx context.Context, name string, mtu int) error
	// Remove ends an interface of this kind.
	Remove(ctx context.Context, name string) error
	// Kind is "kernel" or "userspace".
	Kind() string
}

// Config is what a Device needs.
type Config struct {
	Prefix   string    // of the interface names; the lane follows: mesh0, mesh1
	Backend  Backend   // for interfaces that do not exist yet
	Removers []Backend // for adopted interfaces of another kind than Backend's
	Log      *slog.Logger
}

// Device implements tunnel.Device. It holds no sockets and no state: every
// call asks the kernel.
type Device struct {
	cfg Config
	log *slog.Logger
}

var _ tunnel.Device = (*Device)(nil)

// New prepares a device; it touches nothing.
func New(cfg Config) *Device {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	return &Device{cfg: cfg, log: cfg.Log}
}

// List implements tunnel.Device. It looks only at links that carry our name
// and our alias, so that a broken interface of somebody else does no harm.
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

// measure fills in the addresses and what the data plane knows.
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
		dev, err := client.Device(o.Name)
		if err != nil {
			o.Err = explainError(o.Name, err)
			continue
		}
		observeDevice(o, dev)
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
	if err := d.cfg.Backend.Create(ctx, name, mtu); err != nil {
		return err
	}
	if link, err = h.byName(name); err != nil {
		return err
	}
	d.log.Info("interface created", "interface", name, "dataplane", d.cfg.Backend.Kind(), "mtu", mtu)
	return h.setAlias(link)
}

// adopt accepts an interface that exists. Between making a link and setting
// its alias the agent may have been killed; such a link carries nothing yet,
// so taking it over harms nobody. Everything else without our alias is foreign.
func (d *Device) adopt(h links, link netlink.Link) error {
	if link.Attrs().Alias == Alias {
		return nil
	}
	name := link.Attrs().Name
	if kindOf(link) != "" && link.Attrs().Flags&net.FlagUp == 0 {
		if blank, err := isUnconfigured(name); err == nil && blank {
			d.log.Info("unused interface adopted", "interface", name)
			return h.setAlias(link)
		}
	}
	return fmt.Errorf("interface %s (%s) exists and was not made by Meshway: remove it, or choose another interface name prefix",
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
	d.log.Info("interface changes", "interface", c.Name, "change", c.String())
	// Keys and peers come before the link is up and has its address, so
	// that its first packet finds everything in place.
	if err := configureDevice(c, d.server(c.Name)); err != nil {
		return err
	}
	return h.configure(link, c)
}

// server is the process that serves an interface, 0 if none does.
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
	d.log.Info("interface removed", "interface", name)
	for _, b := range append([]Backend{d.cfg.Backend}, d.cfg.Removers...) {
		if b.Kind() == kindOf(link) {
			return b.Remove(ctx, name)
		}
	}
	// An adopted interface of a kind that nobody here makes. Deleting the
	// link also ends a wireguard-go: its TUN breaks.
	return h.remove(link)
}

// lane is the number after the prefix.
func (d *Device) lane(name string) (uint32, bool) {
	digits, ok := strings.CutPrefix(name, d.cfg.Prefix)
	if !ok || digits == "" || digits != "0" && digits[0] == '0' {
		return 0, false
	}
	n, err := strconv.ParseUint(digits, 10, 32)
	return uint32(n), err == nil
}

//go:build linux

package main

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"os/exec"
	"strings"
	"time"

	"github.com/meshway/meshway/routes"
	"github.com/meshway/meshway/routes/kernel"
)

// routeCount is the number of routes of the measurements with the kernel.
const routeCount = 100_000

// manyRoutes returns a configuration with routeCount routes to 100 datacenters, each
// over two lanes.
func manyRoutes() routes.Config {
	const datacenters = 100
	lanes := []uint32{routes.LaneNexthopID(0, routes.IPv4), routes.LaneNexthopID(1, routes.IPv4)}
	c := routes.Config{
		Table: routes.DefaultTable,
		Rules: []routes.Rule{{Family: routes.IPv4, Priority: routes.DefaultRulePriority, Mark: routes.DefaultMark}},
		Nexthops: []routes.Nexthop{
			{ID: routes.BlackholeID(routes.IPv4), Family: routes.IPv4},
			{ID: lanes[0], Family: routes.IPv4, Device: "mesh0"},
			{ID: lanes[1], Family: routes.IPv4, Device: "mesh1"},
		},
	}
	for dc := range datacenters {
		c.Groups = append(c.Groups, routes.Group{ID: routes.GroupID(dc, routes.IPv4), Family: routes.IPv4, Members: lanes})
	}
	for i := range routeCount {
		address := netip.AddrFrom4([4]byte{100, byte(i >> 16), byte(i >> 8), byte(i)})
		group := c.Groups[i*datacenters/routeCount].ID
		c.Routes = append(c.Routes, routes.Route{Prefix: netip.PrefixFrom(address, 32), Nexthop: group})
	}
	return c
}

// makeDevices creates an uplink and the devices of two lanes in the namespace of this process.
func makeDevices(ctx context.Context) error {
	for _, command := range []string{
		"link set lo up",
		"link add eth0 type veth peer name uplink", "link set eth0 up", "link set uplink up", "addr add 198.18.0.1/24 dev eth0",
		"link add mesh0 type veth peer name peer0", "link set mesh0 up", "link set peer0 up", "addr add fd77::1/128 dev mesh0 nodad",
		"link add mesh1 type veth peer name peer1", "link set mesh1 up", "link set peer1 up",
	} {
		if out, err := exec.CommandContext(ctx, "ip", strings.Fields(command)...).CombinedOutput(); err != nil && !made(string(out)) {
			return fmt.Errorf("ip %s: %w: %s", command, err, out)
		}
	}
	return nil
}

// made reports whether an error of ip(8) is that an earlier measurement has made the
// device, or has given it the address.
func made(text string) bool {
	return strings.Contains(text, "exists") || strings.Contains(text, "already assigned")
}

// measureRoutes measures the applier with 100 000 routes.
func (b *bench) measureRoutes(ctx context.Context) (err error) {
	if err := makeDevices(ctx); err != nil {
		return err
	}
	k := kernel.New(kernel.Options{DevicePrefix: "mesh"})
	defer k.Close()
	a := routes.Applier{Kernel: k, Log: slog.New(slog.DiscardHandler)}
	want := manyRoutes()
	if _, err := a.Apply(ctx, want, true); err != nil {
		return err
	}
	b.result.RoutePassNoChange, err = b.median("look at 100 000 routes without a change", func() (time.Duration, error) {
		start := time.Now()
		_, err := a.Apply(ctx, want, true)
		return time.Since(start), err
	})
	if err != nil {
		return err
	}
	n := 0
	b.result.OneRoute, err = b.median("one changed route of 100 000", func() (time.Duration, error) {
		n++
		want = manyRoutes()
		want.Routes[len(want.Routes)/2].Nexthop = want.Groups[n%len(want.Groups)].ID
		start := time.Now()
		_, err := a.Update(ctx, want, true)
		return time.Since(start), err
	})
	if err != nil {
		return err
	}
	_, err = routes.Remove(ctx, k, routes.DefaultTable)
	return err
}

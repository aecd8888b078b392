//go:build linux

package harness

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
)

const (
	linkMTU = 1500

	// ServerPort is the port on which the workloads' servers listen.
	ServerPort = 8080
)

// Topology is a set of datacenters connected by an underlay. The first, third,
// … datacenter is connected to the first router, the others to the second:
//
//	east-a ─┐                                        ┌─ west-a
//	        east ── router1 ──────── router2 ── west
//	east-b ─┘          │                             └─ west-b
//	                 north ─ north-a, north-b
//
// The routers have routes to the underlay only and drop unencrypted packets
// between workloads.
type Topology struct {
	Lab         *Lab
	Datacenters []*Datacenter
	Routers     [2]*Host
}

// Datacenter is a gateway host and the workloads behind it.
type Datacenter struct {
	Name      string
	Gateway   *Host
	Workloads []*Workload
	Pods      netip.Prefix
	Pods6     netip.Prefix
	Services  netip.Prefix
	Underlay  netip.Prefix // the gateway's own address, with the prefix length of its link
	Agent     *Process     // the meshd that Run started last; nil before

	router   *Host
	binaries Binaries
}

// Workload is a host behind a gateway with a server on each of its addresses.
type Workload struct {
	Host    *Host
	Pod     netip.Addr
	Pod6    netip.Addr
	Service netip.Addr
	Server  *Process
}

// NewTopology starts and links the hosts and servers of up to ten datacenters.
// Only the underlay connects the datacenters.
func NewTopology(ctx context.Context, lab *Lab, names ...string) (*Topology, error) {
	if len(names) > 10 {
		return nil, fmt.Errorf("create topology: %d datacenters, the address plan has room for 10", len(names))
	}
	t := &Topology{Lab: lab}
	if err := t.addRouters(ctx); err != nil {
		return nil, err
	}
	for i, name := range names {
		dc, err := t.addDatacenter(ctx, i, name)
		if err != nil {
			return nil, fmt.Errorf("create datacenter %s: %w", name, err)
		}
		t.Datacenters = append(t.Datacenters, dc)
	}
	return t, nil
}

// Datacenter returns the datacenter of this name, or nil.
func (t *Topology) Datacenter(name string) *Datacenter {
	for _, dc := range t.Datacenters {
		if dc.Name == name {
			return dc
		}
	}
	return nil
}

// underlayOf returns the prefix of a router's links. The underlay uses
// documentation addresses (RFC 5737).
func underlayOf(router int) netip.Prefix {
	return [2]netip.Prefix{netip.MustParsePrefix("203.0.113.0/24"), netip.MustParsePrefix("198.51.100.0/24")}[router]
}

// betweenRouters returns the address of a router on the link between the routers.
func betweenRouters(router int) netip.Prefix {
	return nth(netip.MustParsePrefix("192.0.2.0/30"), router+1)
}

func (t *Topology) addRouters(ctx context.Context) error {
	var ends [2]End
	for i := range t.Routers {
		router, err := t.Lab.Host(ctx, fmt.Sprintf("router%d", i+1))
		if err != nil {
			return err
		}
		if err := router.Forward(); err != nil {
			return err
		}
		t.Routers[i] = router
		ends[i] = End{router, []netip.Prefix{betweenRouters(i)}}
	}
	return errors.Join(
		t.Lab.Link(ends[0], ends[1], linkMTU),
		t.Routers[0].Route(underlayOf(1), ends[1].Addresses[0].Addr()),
		t.Routers[1].Route(underlayOf(0), ends[0].Addresses[0].Addr()),
	)
}

func (t *Topology) addDatacenter(ctx context.Context, number int, name string) (*Datacenter, error) {
	router := number % 2
	link := netip.PrefixFrom(nth(underlayOf(router), number/2*8).Addr(), 29)
	dc := &Datacenter{
		Name:     name,
		Pods:     netip.MustParsePrefix(fmt.Sprintf("10.1%d.0.0/16", number+1)),
		Pods6:    netip.MustParsePrefix(fmt.Sprintf("fd00:1%d::/32", number+1)),
		Services: netip.MustParsePrefix(fmt.Sprintf("10.2%d.0.0/16", number+1)),
		Underlay: nth(link, 2),
		router:   t.Routers[router],
	}
	var err error
	if dc.Gateway, err = t.Lab.Host(ctx, name); err != nil {
		return nil, err
	}
	gateway := nth(link, 1)
	if err := t.Lab.Link(End{dc.router, []netip.Prefix{gateway}}, End{dc.Gateway, []netip.Prefix{dc.Underlay}}, linkMTU); err != nil {
		return nil, err
	}
	if err := dc.Gateway.Route(netip.MustParsePrefix("0.0.0.0/0"), gateway.Addr()); err != nil {
		return nil, err
	}
	for i := range 2 {
		workload, err := t.addWorkload(ctx, dc, i)
		if err != nil {
			return nil, err
		}
		dc.Workloads = append(dc.Workloads, workload)
	}
	return dc, nil
}

func (t *Topology) addWorkload(ctx context.Context, dc *Datacenter, number int) (*Workload, error) {
	host, err := t.Lab.Host(ctx, fmt.Sprintf("%s-%c", dc.Name, 'a'+number))
	if err != nil {
		return nil, err
	}
	pods := netip.PrefixFrom(nth(dc.Pods, 256*(number+1)).Addr(), 24)
	pods6 := netip.PrefixFrom(nth(dc.Pods6, 256*(number+1)).Addr(), 120)
	w := &Workload{Host: host, Pod: nth(pods, 10).Addr(), Pod6: nth(pods6, 10).Addr(), Service: nth(dc.Services, 10*(number+1)).Addr()}
	err = errors.Join(
		t.Lab.Link(
			End{dc.Gateway, []netip.Prefix{nth(pods, 1), nth(pods6, 1)}},
			End{host, []netip.Prefix{nth(pods, 10), nth(pods6, 10)}}, linkMTU),
		host.AddAddress("lo", netip.PrefixFrom(w.Service, 32)),
		host.Route(netip.MustParsePrefix("0.0.0.0/0"), nth(pods, 1).Addr()),
		host.Route(netip.MustParsePrefix("::/0"), nth(pods6, 1).Addr()),
		dc.Gateway.Route(netip.PrefixFrom(w.Service, 32), w.Pod),
	)
	if err != nil {
		return nil, err
	}
	w.Server, err = host.Serve(ctx, ServerPort, w.Pod, w.Pod6, w.Service)
	return w, err
}

// At returns the address and port of a workload's server.
func At(address netip.Addr) netip.AddrPort { return netip.AddrPortFrom(address, ServerPort) }

// Cut separates two datacenters on the underlay, until Heal.
func (t *Topology) Cut(ctx context.Context, a, b *Datacenter) error {
	var errs []error
	for _, router := range t.Routers {
		errs = append(errs, router.Drop(ctx, host(a.Underlay), host(b.Underlay)))
	}
	return errors.Join(errs...)
}

// Isolate separates a datacenter from all others, until Heal.
func (t *Topology) Isolate(ctx context.Context, dc *Datacenter) error {
	return dc.router.Drop(ctx, host(dc.Underlay), netip.MustParsePrefix("0.0.0.0/0"))
}

// Heal removes the effect of all calls of Cut and Isolate.
func (t *Topology) Heal(ctx context.Context) error {
	return errors.Join(t.Routers[0].Heal(ctx), t.Routers[1].Heal(ctx))
}

// Narrow sets the MTU of the link between the routers.
func (t *Topology) Narrow(mtu int) error {
	return errors.Join(t.Routers[0].SetMTU(t.Routers[1].name, mtu), t.Routers[1].SetMTU(t.Routers[0].name, mtu))
}

// Filter makes both routers drop what matches an expression of nft: packets that
// arrive and those that the routers themselves send, until Heal.
func (t *Topology) Filter(ctx context.Context, match string) error {
	return errors.Join(t.Routers[0].Filter(ctx, match), t.Routers[1].Filter(ctx, match))
}

// Renumber changes a gateway's address on the underlay, as a provider with
// dynamic addresses does.
func (t *Topology) Renumber(dc *Datacenter) error {
	old := dc.Underlay
	dc.Underlay = netip.PrefixFrom(old.Addr().Next(), old.Bits())
	device := interfaceName(dc.router)
	return errors.Join(
		dc.Gateway.RemoveAddress(device, old), // the kernel removes the default route with it
		dc.Gateway.AddAddress(device, dc.Underlay),
		dc.Gateway.Route(netip.MustParsePrefix("0.0.0.0/0"), nth(old.Masked(), 1).Addr()),
	)
}

func host(p netip.Prefix) netip.Prefix { return netip.PrefixFrom(p.Addr(), p.Addr().BitLen()) }

// nth returns the n-th address of a prefix, with the prefix's length.
func nth(p netip.Prefix, n int) netip.Prefix {
	address := p.Addr().AsSlice()
	for i := len(address) - 1; i >= 0 && n > 0; i-- {
		n += int(address[i])
		address[i] = byte(n)
		n >>= 8
	}
	addr, _ := netip.AddrFromSlice(address)
	return netip.PrefixFrom(addr, p.Bits())
}

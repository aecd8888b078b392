//go:build linux

package cluster

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"net/netip"

	"github.com/meshway/meshway/e2e/harness"
)

// addNodes starts the nodes' hosts and sets up the networks of the nodes and of
// their pods.
func (c *Cluster) addNodes(ctx context.Context) error {
	for i := range c.options.Nodes {
		n := &Node{Name: fmt.Sprintf("%s-%d", c.Name(), i+1), cluster: c, started: make(map[string]program)}
		var err error
		if n.host, err = c.lab.hosts.Host(ctx, n.Name); err != nil {
			return err
		}
		c.nodes = append(c.nodes, n)
		for _, pods := range c.options.PodCIDRs {
			n.PodCIDRs = append(n.PodCIDRs, nodePrefix(pods, i))
		}
		if err := n.prepare(ctx); err != nil {
			return err
		}
	}
	if c.options.SeparateLinks {
		return c.linkSeparately(ctx)
	}
	return c.linkToBridge(ctx)
}

// bridge returns the name of the cluster's bridge on the router.
func (c *Cluster) bridge() string { return "net-" + c.Name() }

// linkToBridge connects the nodes to one network and adds routes from each node
// to the pods of the others.
func (c *Cluster) linkToBridge(ctx context.Context) error {
	router := c.lab.router
	if _, err := router.Exec(ctx, "ip", "link", "add", c.bridge(), "up", "type", "bridge"); err != nil {
		return err
	}
	for _, network := range c.options.Underlay {
		if err := router.AddAddress(c.bridge(), netip.PrefixFrom(nth(network, 1), network.Bits())); err != nil {
			return err
		}
	}
	for i, n := range c.nodes {
		e := linkEnd(n.host, c.options.Underlay, i+2)
		n.Addresses = addressesOf(e)
		if err := c.lab.hosts.Link(harness.End{Host: router}, e, linkMTU); err != nil {
			return err
		}
		if _, err := router.Exec(ctx, "ip", "link", "set", n.Name, "master", c.bridge()); err != nil {
			return err
		}
		if err := defaultRoutes(n.host, c.options.Underlay); err != nil {
			return err
		}
	}
	var errs []error
	for _, from := range c.nodes {
		for _, to := range c.nodes {
			for i := range to.PodCIDRs {
				if from != to {
					errs = append(errs, from.host.Route(to.PodCIDRs[i], to.Addresses[i]))
				}
			}
		}
	}
	return errors.Join(errs...)
}

// linkSeparately connects each node to the router with a network of its own, a
// /30 or /126. The router has a routing table for packets from the cluster, with
// routes to its pods, and drops packets from the cluster with foreign sources.
func (c *Cluster) linkSeparately(ctx context.Context) error {
	if err := c.addSourceFilter(ctx); err != nil {
		return err
	}
	router, table := c.lab.router, c.routeTable()
	for i, n := range c.nodes {
		var networks []netip.Prefix
		for _, network := range c.options.Underlay {
			networks = append(networks, netip.PrefixFrom(nth(network, 4*i), network.Addr().BitLen()-2))
		}
		e := linkEnd(n.host, networks, 2)
		n.Addresses = addressesOf(e)
		if err := c.lab.hosts.Link(linkEnd(router, networks, 1), e, linkMTU); err != nil {
			return err
		}
		if err := defaultRoutes(n.host, networks); err != nil {
			return err
		}
		for k, address := range n.Addresses {
			family := "-4"
			if address.Is6() {
				family = "-6"
			}
			_, err := router.Exec(ctx, "ip", family, "rule", "add", "iif", n.Name, "lookup", table)
			if err != nil {
				return err
			}
			_, err = router.Exec(ctx, "ip", family, "route", "add", n.PodCIDRs[k].String(), "via", address.String(), "table", table)
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// addSourceFilter makes the router drop packets from the cluster's nodes whose
// source address is not the cluster's, as the routers of clouds do.
func (c *Cluster) addSourceFilter(ctx context.Context) error {
	rules := fmt.Sprintf("table inet %s {\nchain forward {\ntype filter hook forward priority filter\n", c.bridge())
	for i := range c.options.PodCIDRs {
		family := "ip"
		if c.options.PodCIDRs[i].Addr().Is6() {
			family = "ip6"
		}
		rules += fmt.Sprintf("iifname \"%s-*\" %s saddr != { %s, %s } drop\n", c.Name(), family, c.options.PodCIDRs[i], c.options.Underlay[i].Masked())
	}
	_, err := c.lab.router.ExecInput(ctx, rules+"}\n}\n", "nft", "-f", "-")
	return err
}

// routeTable returns the number of the router's table for the cluster's pods. It
// is derived from the cluster's name, so that clusters have different tables.
func (c *Cluster) routeTable() string {
	hash := fnv.New32a()
	hash.Write([]byte(c.Name()))
	return fmt.Sprint(1000 + hash.Sum32()>>1)
}

// removeNetwork removes the cluster's bridge or source filter from the router.
// The kernel removes links with their hosts.
func (c *Cluster) removeNetwork() error {
	if c.options.SeparateLinks {
		_, err := c.lab.router.Exec(context.Background(), "nft", "delete", "table", "inet", c.bridge())
		return err
	}
	_, err := c.lab.router.Exec(context.Background(), "ip", "link", "del", c.bridge())
	return err
}

func addressesOf(e harness.End) []netip.Addr {
	var addresses []netip.Addr
	for _, prefix := range e.Addresses {
		addresses = append(addresses, prefix.Addr())
	}
	return addresses
}

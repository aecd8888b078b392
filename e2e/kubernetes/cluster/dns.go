//go:build linux

package cluster

import (
	"context"
	_ "embed"
	"strings"
)

//go:embed dns.yaml
var dnsManifests string

// deployDNS deploys CoreDNS with the object names that kubeadm uses.
func (c *Cluster) deployDNS(ctx context.Context) error {
	addresses := c.serviceAddress(10)
	return c.Apply(ctx, strings.NewReplacer("$ALL", join(addresses), "$ADDRESS", addresses[0].String()).Replace(dnsManifests))
}

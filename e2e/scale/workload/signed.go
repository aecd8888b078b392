package workload

import (
	"github.com/meshway/meshway/agent/identity"
	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/agent/trust"
	"github.com/meshway/meshway/consensus/catalog"
)

// Signed returns the topology with the CA of each datacenter, and all records signed.
func (s Size) Signed() (plan.Catalog, error) {
	c := s.Catalog()
	authorities := map[catalog.DatacenterName]*identity.CA{}
	for i, dc := range c.Datacenters {
		ca, err := identity.NewCA(dc.Name, now())
		if err != nil {
			return c, err
		}
		certificate, err := ca.Issue(gatewayName(0), c.Federation.ID, now())
		if err != nil {
			return c, err
		}
		authorities[dc.Name], dc.CACertificate = ca, ca.Certificate()
		if c.Datacenters[i], err = trust.SignDatacenter(certificate, c.Federation.ID, dc, 1); err != nil {
			return c, err
		}
	}
	for i, g := range c.Gateways {
		certificate, err := authorities[g.Datacenter].Issue(g.Name, c.Federation.ID, now())
		if err != nil {
			return c, err
		}
		if c.Gateways[i], err = trust.SignGateway(certificate, c.Federation.ID, g, 1); err != nil {
			return c, err
		}
	}
	return c, nil
}

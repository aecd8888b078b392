package sim

import (
	"context"
	"strings"

	"github.com/meshway/meshway/agent/identity"
	"github.com/meshway/meshway/tunnel"
)

// storedMembership reads the membership from the disk of a site.
func storedMembership(s *site) (identity.Membership, bool, error) {
	store, err := identity.Open(s.cfg.DataDir)
	if err != nil {
		return identity.Membership{}, false, err
	}
	defer store.Close()
	return store.Membership()
}

// tunnelsOf lists the interfaces of a site's host.
func (w *world) tunnelsOf(s *site) []tunnel.Observed {
	seen, err := s.tunnels.List(context.Background())
	if err != nil {
		w.t.Fatal(err)
	}
	return seen
}

// pod returns an address of one of the site's pods.
func (s *site) pod() string {
	return strings.Replace(s.cfg.Prefixes[0].CIDR.Addr().String(), ".0.0", ".0.10", 1)
}

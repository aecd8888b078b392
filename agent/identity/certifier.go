package identity

import (
	"bytes"
	"crypto/tls"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/meshway/meshway/consensus/catalog"
)

// ErrNoFederation reports that this gateway is not a member of a federation, so that
// there is no identity to issue a certificate for.
var ErrNoFederation = errors.New("this gateway is not a member of a federation")

// Certifier holds this gateway's certificate and renews it when two thirds of its
// validity period have passed, without a restart. It renews in Certificate, that is
// at a handshake, instead of by a timer, so that a host that was suspended or whose
// clock jumped never presents an expired certificate. It is safe for concurrent use.
type Certifier struct {
	datacenter catalog.DatacenterName
	gateway    string
	now        func() time.Time

	mu         sync.Mutex // guards the following fields
	ca         *CA
	chain      [][]byte // that proves the successions of ca
	federation string
	current    *tls.Certificate
}

// NewCertifier returns a Certifier for a gateway of the CA's datacenter. A nil now
// means time.Now.
func NewCertifier(ca *CA, gateway string, now func() time.Time) *Certifier {
	if now == nil {
		now = time.Now
	}
	return &Certifier{ca: ca, datacenter: ca.Datacenter(), gateway: gateway, now: now}
}

// Now returns the time at which certificates are issued and verified.
func (c *Certifier) Now() time.Time { return c.now() }

// Use sets the CA that signs the certificates, and the chain that proves that it follows
// former ones (see Chain). It applies to certificates from the next handshake on.
func (c *Certifier) Use(ca *CA, chain [][]byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.ca.Equal(ca) || !slices.EqualFunc(c.chain, chain, bytes.Equal) {
		c.ca, c.chain, c.current = ca, chain, nil
	}
}

// SetFederation sets the id of the federation that the gateway is a member of, empty
// for none. It applies to certificates from the next handshake on.
func (c *Certifier) SetFederation(id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.federation != id {
		c.federation, c.current = id, nil
	}
}

// Federation returns the id that SetFederation set, empty for none.
func (c *Certifier) Federation() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.federation
}

// Self returns the gateway that the certificates identify.
func (c *Certifier) Self() Peer { return Peer{Datacenter: c.datacenter, Gateway: c.gateway} }

// CA returns the CA that signs the certificates.
func (c *Certifier) CA() *CA {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ca
}

// Certificate returns the current certificate and renews it when necessary. The error
// is ErrNoFederation if no federation is set.
func (c *Certifier) Certificate() (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.federation == "" {
		return nil, ErrNoFederation
	}
	now := c.now()
	if c.current != nil && fresh(c.current, now) {
		return c.current, nil
	}
	issued, err := c.ca.Issue(c.gateway, c.federation, now)
	if err != nil {
		return nil, err
	}
	issued.Certificate = append(issued.Certificate, c.chain...)
	c.current = issued
	return issued, nil
}

// fresh reports whether less than two thirds of a certificate's validity period have
// passed. A certificate that is not valid yet is not fresh: the clock was set back,
// and peers would refuse it.
func fresh(c *tls.Certificate, now time.Time) bool {
	begin, end := c.Leaf.NotBefore, c.Leaf.NotAfter
	return !now.Before(begin) && now.Before(begin.Add(end.Sub(begin)*2/3))
}

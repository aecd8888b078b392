package identity

import (
	"crypto/tls"
	"errors"
	"sync"
	"time"
)

// ErrNoFederation reports that this gateway is not a member of a federation, so that
// there is no identity to issue a certificate for.
var ErrNoFederation = errors.New("this gateway is not a member of a federation")

// Certifier holds this gateway's certificate and renews it when two thirds of its
// validity period have passed, without a restart. It renews in Certificate, that is
// at a handshake, instead of by a timer, so that a host that was suspended or whose
// clock jumped never presents an expired certificate. It is safe for concurrent use.
type Certifier struct {
	ca      *CA
	gateway string
	now     func() time.Time

	mu         sync.Mutex // guards the following fields
	federation string
	current    *tls.Certificate
}

// NewCertifier returns a Certifier for a gateway of the CA's datacenter. A nil now
// means time.Now.
func NewCertifier(ca *CA, gateway string, now func() time.Time) *Certifier {
	if now == nil {
		now = time.Now
	}
	return &Certifier{ca: ca, gateway: gateway, now: now}
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
func (c *Certifier) Self() Peer { return Peer{Datacenter: c.ca.Datacenter(), Gateway: c.gateway} }

// CA returns the CA that signs the certificates.
func (c *Certifier) CA() *CA { return c.ca }

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

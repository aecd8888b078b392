package identity

import (
	"crypto/tls"
	"errors"
	"sync"
	"time"
)

// ErrNoFederation says that this gateway is not a member of a federation yet
// and so has no name that a certificate could carry.
var ErrNoFederation = errors.New("this gateway is not a member of a federation")

// Certifier holds this gateway's certificate and renews it when two thirds of
// its life are over, without a restart. It renews when it is asked for the
// certificate, at each handshake, instead of from a timer: then a host that
// slept or whose clock jumped never shows a certificate that has run out.
type Certifier struct {
	ca      *CA
	gateway string
	now     func() time.Time

	mu         sync.Mutex // guards all following fields
	federation string
	current    *tls.Certificate
}

// NewCertifier makes certificates for a gateway of the CA's datacenter.
// A nil now is time.Now.
func NewCertifier(ca *CA, gateway string, now func() time.Time) *Certifier {
	if now == nil {
		now = time.Now
	}
	return &Certifier{ca: ca, gateway: gateway, now: now}
}

// SetFederation tells which federation the gateway is a member of; empty: none.
// Certificates carry the id from the next handshake on.
func (c *Certifier) SetFederation(id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.federation != id {
		c.federation, c.current = id, nil
	}
}

// Federation returns the id that was set, empty: none.
func (c *Certifier) Federation() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.federation
}

// Self returns who the certificates speak for.
func (c *Certifier) Self() Peer { return Peer{Datacenter: c.ca.Datacenter(), Gateway: c.gateway} }

// CA returns the CA that signs them.
func (c *Certifier) CA() *CA { return c.ca }

// Certificate returns the current certificate, a new one if it is time.
// errors.Is(err, ErrNoFederation) before the gateway is a member.
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

// fresh reports whether less than two thirds of a certificate's life are over.
// A certificate of the future is not fresh either: the clock was set back, and
// peers would refuse it.
func fresh(c *tls.Certificate, now time.Time) bool {
	begin, end := c.Leaf.NotBefore, c.Leaf.NotAfter
	return !now.Before(begin) && now.Before(begin.Add(end.Sub(begin)*2/3))
}

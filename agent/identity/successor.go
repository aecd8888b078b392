package identity

import (
	"crypto/rand"
	"crypto/x509"
	"fmt"
	"net/url"
	"slices"
	"time"

	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/succession"
)

// maxChain bounds the certificates that a peer may send, as each may cost a
// verification of a signature.
const maxChain = 2 + 2*succession.Most

// Succeed returns the certificate (DER) by which c hands its datacenter over to next,
// in one federation.
func (c *CA) Succeed(next *CA, federation string, now time.Time) ([]byte, error) {
	template, err := caTemplate(c.Datacenter(), now)
	if err != nil {
		return nil, err
	}
	template.URIs = []*url.URL{succession.Subject(federation, c.Datacenter())}
	der, err := x509.CreateCertificate(rand.Reader, template, c.certificate, next.key.Reveal().Public(), c.key.Reveal())
	if err != nil {
		return nil, fmt.Errorf("sign the succession of the CA: %w", err)
	}
	return der, nil
}

// Follow returns why the present CA of a datacenter does not follow from the one with a
// pin, or else the former CA (DER) that is still trusted beside it, if there is one.
func Follow(pin Pin, federation string, dc catalog.Datacenter) (former []byte, err error) {
	present, err := PinOf(dc.CACertificate)
	if err != nil {
		return nil, err
	}
	_, pending := succession.Pending(dc)
	first := len(dc.Successions)
	switch {
	case present != pin:
		first = slices.IndexFunc(dc.Successions, func(s catalog.Succession) bool {
			p, err := PinOf(s.Predecessor)
			return err == nil && p == pin
		})
		if first < 0 {
			return nil, fmt.Errorf("the CA with fingerprint %s has not announced it", pin)
		}
	case pending:
		first--
	}
	for i, s := range dc.Successions[first:] {
		next := dc.CACertificate
		if after := first + i + 1; after < len(dc.Successions) {
			next = dc.Successions[after].Predecessor
		}
		if err := verifySuccession(s, next, federation, dc.Name); err != nil {
			return nil, err
		}
	}
	if pending {
		former = dc.Successions[len(dc.Successions)-1].Predecessor
	}
	return former, nil
}

func verifySuccession(s catalog.Succession, next []byte, federation string, dc catalog.DatacenterName) error {
	predecessor, err := ParseCA(s.Predecessor)
	if err != nil {
		return err
	}
	successor, err := ParseCA(next)
	if err != nil {
		return err
	}
	certificate, err := x509.ParseCertificate(s.Certificate)
	if err != nil {
		return fmt.Errorf("parse the certificate of the succession: %w", err)
	}
	return succession.Verify(predecessor, certificate, successor, succession.Subject(federation, dc))
}

// successors returns authorities, and the CAs in a chain that follow one of them.
func successors(authorities, chain []*x509.Certificate, federation string, dc catalog.DatacenterName) []*x509.Certificate {
	if len(chain) > maxChain {
		return authorities
	}
	subject := succession.Subject(federation, dc)
	all := slices.Clone(authorities)
	for i := 0; i < len(all); i++ {
		for _, certificate := range chain[1:] {
			if len(certificate.URIs) == 0 {
				continue // of a CA
			}
			for _, next := range chain[1:] {
				known := slices.ContainsFunc(all, func(c *x509.Certificate) bool { return pinOf(c) == pinOf(next) })
				if known || pinOf(next) != pinOf(certificate) || succession.Verify(all[i], certificate, next, subject) != nil {
					continue
				}
				if next, err := ParseCA(next.Raw); err == nil {
					all = append(all, next)
				}
			}
		}
	}
	return all
}

// Chain returns the certificates (DER) that prove the successions of a CA, for a peer
// that has seen a former one only.
func Chain(dc catalog.Datacenter) [][]byte {
	var chain [][]byte
	for _, s := range slices.Backward(dc.Successions) {
		chain = append(chain, s.Certificate, s.Predecessor)
	}
	return chain
}

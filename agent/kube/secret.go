package kube

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/meshway/meshway/agent/identity"
	"github.com/meshway/meshway/consensus/catalog"
)

// The keys of the Secret. The first two hold what a Secret of type
// kubernetes.io/tls holds; they have other names because the certificate is not
// that of a server.
const (
	keyCertificate = "ca.crt"
	keyKey         = "ca.key"
	keyMembership  = "membership.json"
	// Of the CA that is to follow, while it is replaced.
	keyNextCertificate = "ca.next.crt"
	keyNextKey         = "ca.next.key"
)

// formatVersion is the version of the format of membership.
const formatVersion = 1

// membership is the content of the key membership.json.
type membership struct {
	Version    int             `json:"version"`
	Lock       *lockRecord     `json:"claim,omitempty"`
	Federation *federationName `json:"federation,omitempty"` // nil: not a member
	Gateways   []contact       `json:"gateways,omitempty"`
	Left       string          `json:"left,omitempty"`
	Released   bool            `json:"released,omitempty"`
}

type lockRecord struct {
	Gateway string    `json:"gateway"`
	At      time.Time `json:"at"`
}

type federationName struct {
	ID      string       `json:"id"`
	Name    string       `json:"name"`
	Overlay netip.Prefix `json:"overlay"`
}

type contact struct {
	Gateway  string   `json:"gateway"`
	Pin      string   `json:"pin"` // SHA-256 of the public key of its datacenter's CA, hex
	Controls []string `json:"controls"`

	// What its datacenter counts as until a time; empty: itself.
	Sponsor string    `json:"sponsor,omitempty"`
	Until   time.Time `json:"until,omitzero"`
}

// decodeSecret decodes a Secret. An error does not quote its content.
func decodeSecret(s *corev1.Secret) (identity.SharedState, error) {
	shared := identity.SharedState{
		Version: s.ResourceVersion, Certificate: s.Data[keyCertificate], Key: identity.CAKeyOf(s.Data[keyKey]),
		NextCert: s.Data[keyNextCertificate], NextKey: identity.CAKeyOf(s.Data[keyNextKey]),
	}
	text := s.Data[keyMembership]
	if len(text) == 0 {
		return shared, nil
	}
	var m membership
	if err := json.Unmarshal(text, &m); err != nil {
		return identity.SharedState{}, fmt.Errorf("key %s is not valid: remove the key; a gateway that is a member recreates it", keyMembership)
	}
	if m.Version > formatVersion {
		return identity.SharedState{}, fmt.Errorf("key %s was written by a newer release: it has format %d, and this release supports %d", keyMembership, m.Version, formatVersion)
	}
	shared.Left, shared.Released = m.Left, m.Released
	if m.Lock != nil {
		shared.Lock = &identity.MembershipLock{Gateway: m.Lock.Gateway, At: m.Lock.At}
	}
	if f := m.Federation; f != nil {
		shared.Membership = &identity.DatacenterMembership{FederationID: f.ID, FederationName: f.Name, Overlay: f.Overlay}
		for _, g := range m.Gateways {
			shared.Membership.Contacts = append(shared.Membership.Contacts,
				identity.Contact{
					Gateway: catalog.GatewayID(g.Gateway), Pin: g.Pin, Controls: g.Controls, Sponsor: catalog.DatacenterName(g.Sponsor), Until: g.Until,
				})
		}
	}
	return shared, nil
}

// encodeSecret sets the keys in a Secret and leaves its other content.
func encodeSecret(c identity.SharedState, secret *corev1.Secret) error {
	m := membership{Version: formatVersion, Left: c.Left, Released: c.Released}
	if c.Lock != nil {
		m.Lock = &lockRecord{Gateway: c.Lock.Gateway, At: c.Lock.At}
	}
	if s := c.Membership; s != nil {
		m.Federation = &federationName{ID: s.FederationID, Name: s.FederationName, Overlay: s.Overlay}
		for _, g := range s.Contacts {
			m.Gateways = append(m.Gateways, contact{Gateway: string(g.Gateway), Pin: g.Pin, Controls: g.Controls, Sponsor: string(g.Sponsor), Until: g.Until})
		}
	}
	text, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return fmt.Errorf("encode membership: %w", err)
	}
	if secret.Data == nil {
		secret.Data = map[string][]byte{}
	}
	secret.Data[keyCertificate], secret.Data[keyKey] = c.Certificate, c.Key.Reveal()
	secret.Data[keyMembership] = append(text, '\n')
	delete(secret.Data, keyNextCertificate)
	delete(secret.Data, keyNextKey)
	if !c.NextKey.IsZero() {
		secret.Data[keyNextCertificate], secret.Data[keyNextKey] = c.NextCert, c.NextKey.Reveal()
	}
	return nil
}

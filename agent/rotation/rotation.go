// Package rotation decides how the CA of the own datacenter is replaced. It is pure.
package rotation

import (
	"bytes"
	"fmt"
	"strings"
	"time"

	"github.com/meshway/meshway/agent/identity"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/agreement"
	"github.com/meshway/meshway/consensus/catalog/succession"
)

// Recent is the age up to which a CA is not replaced again by mistake.
const Recent = time.Hour

// Stage is how far the replacement of a CA is.
type Stage int

// The stages.
const (
	Due     Stage = iota // a new CA is to be announced
	Pending              // it is announced, and the former one is still trusted
	Done                 // it was replaced a short time ago
)

// StageOf returns the stage from which a command that replaces the CA of dc continues.
// again: a CA is replaced however young it is.
func StageOf(dc catalog.Datacenter, own *identity.CA, again bool, now time.Time) Stage {
	begin, _ := own.Validity()
	_, pending := succession.Pending(dc)
	switch {
	case pending:
		return Pending
	case len(dc.Successions) > 0 && !again && now.Sub(begin.Add(identity.CABackdate)) < Recent:
		return Done
	}
	return Due
}

// CheckLevels returns an error while a gateway runs a version that cannot follow the
// replacement of the CA of dc. Those of other datacenters count too: they would stop at the
// command.
func CheckLevels(dc catalog.DatacenterName, gateways []catalog.Gateway) error {
	var behind []catalog.GatewayID
	for _, g := range gateways {
		if g.Level() < catalog.LevelSuccession {
			behind = append(behind, g.ID())
		}
	}
	if r := agreement.HoldBack(catalog.LevelSuccession, dc, behind); r != nil {
		return r
	}
	return nil
}

// DescribePlan returns what the rotation would do, for a command that changes nothing.
func DescribePlan(dc catalog.DatacenterName, gateways []catalog.Gateway, ca *identity.CA) string {
	var own []string
	for _, g := range gateways {
		if g.Datacenter == dc {
			own = append(own, g.Name)
		}
	}
	return fmt.Sprintf("would replace the CA of datacenter %s, whose fingerprint is %s, by a new one; its gateways (%s) sign their records again, then the former CA is no longer trusted",
		dc, ca.Pin(), strings.Join(own, ", "))
}

// Keys are the CAs whose keys a gateway may use.
type Keys struct {
	Own        *identity.CA
	Prepared   *identity.CA // on this host, to follow; nil: none
	Shared     identity.SharedState
	Federation string // that this gateway is a member of
}

// ChooseCA returns the CA that a gateway is to use in place of its own, nil if it is to
// keep that: the one that the catalog has, or a newer one of the shared state. In that
// case the CA was replaced while this gateway was away, and the other members accept no
// certificate of the former one.
func ChooseCA(dc catalog.Datacenter, keys Keys) *identity.CA {
	inCatalog := func(ca *identity.CA) bool { return bytes.Equal(ca.Certificate(), dc.CACertificate) }
	if inCatalog(keys.Own) {
		return nil
	}
	if keys.Prepared != nil && inCatalog(keys.Prepared) {
		return keys.Prepared
	}
	s := keys.Shared
	if next, err := identity.DecodeCA(dc.Name, s.NextCert, s.NextKey); err == nil && inCatalog(next) {
		return next
	}
	present, err := identity.DecodeCA(dc.Name, s.Certificate, s.Key)
	if err != nil {
		return nil // there is none
	}
	begin, _ := present.Validity()
	former, _ := keys.Own.Validity()
	newer := s.Membership != nil && s.Membership.FederationID == keys.Federation && begin.After(former)
	if inCatalog(present) || newer {
		return present
	}
	return nil
}

package member

import (
	"errors"
	"path/filepath"

	"github.com/meshway/meshway/agent/identity"
	"github.com/meshway/meshway/agent/state"
	"github.com/meshway/meshway/agent/trust"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/replica"
)

// ledgerFile holds what this gateway has verified. It is in the directory of raft, so
// that it is removed with the membership.
func ledgerFile(dir string) state.File[trust.Ledger] {
	return state.File[trust.Ledger]{
		Path: filepath.Join(dir, "trust.json"), What: "pins of the datacenters",
		Remedy: "remove it and restart meshd, then compare the fingerprints in meshctl trust show with the operators of the other datacenters",
	}
}

// binding adds pins to the ledger that an admitting gateway handed over.
type binding func(trust.Ledger, *replica.View) (trust.Ledger, error)

// initialLedger returns the ledger of a gateway that was admitted with a catalog. The
// admitting gateway handed it over, unless its build is too old.
func initialLedger(handover []byte, v *replica.View, bind binding) (trust.Ledger, error) {
	federation, _ := v.Federation()
	ledger := trust.Ledger{FederationID: federation.ID}
	if len(handover) > 0 {
		var err error
		if ledger, err = trust.ReadHandover(handover, v); err != nil {
			return trust.Ledger{}, err
		}
	}
	if ledger.FederationID != federation.ID {
		return trust.Ledger{}, errors.New("read the pins of the federation: they are of another federation")
	}
	return bind(ledger, v)
}

// pinIs reports whether a datacenter has a CA with a pin.
func pinIs(dc catalog.Datacenter, pin identity.Pin) bool {
	found, err := identity.PinOf(dc.CACertificate)
	return err == nil && found == pin
}

// pinInviter binds the pin of a token to the datacenter that has this CA, which the
// catalog must contain.
func pinInviter(pin identity.Pin) binding {
	return func(ledger trust.Ledger, v *replica.View) (trust.Ledger, error) {
		for _, dc := range v.Datacenters() {
			if _, err := identity.Follow(pin, ledger.FederationID, dc); err != nil {
				continue
			}
			if is, known := ledger.Datacenters[dc.Name]; known && pinIs(dc, is.Pin) {
				return ledger, nil
			}
			return ledger.WithPins(map[catalog.DatacenterName]identity.Pin{dc.Name: pin}), nil
		}
		return trust.Ledger{}, errors.New("read the catalog of the federation: it does not contain the CA of the datacenter that created the token")
	}
}

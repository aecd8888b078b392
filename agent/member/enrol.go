package member

import (
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"

	"github.com/meshway/meshway/agent/control"
	"github.com/meshway/meshway/agent/control/controlpb"
	"github.com/meshway/meshway/agent/identity"
	"github.com/meshway/meshway/agent/trust"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/replica"
)

// ErrFormerName means that the CA in the shared state was created when the
// datacenter had another name.
var ErrFormerName = errors.New("the datacenter had another name")

// Authority returns the CA of this datacenter as PEM; the first call creates it.
func (a *Admission) Authority() (certificate []byte, key identity.CAKey, err error) {
	ca, err := a.Store.CA(a.File.Datacenter, a.Store.Now())
	if err != nil {
		return nil, identity.CAKey{}, err
	}
	return ca.Encode()
}

// Adopt replaces the CA of this host by that of the shared state;
// errors.Is(err, errFormerName) if it was created under another name.
func (a *Admission) Adopt(shared identity.SharedState) error {
	ca, err := identity.DecodeCA(a.File.Datacenter, shared.Certificate, shared.Key)
	if errors.Is(err, identity.ErrOtherDatacenter) {
		err = fmt.Errorf("%w: %w", ErrFormerName, err)
	}
	if err != nil {
		return fmt.Errorf("adopt the CA of the shared state: %w", err)
	}
	return a.Store.AdoptCA(ca)
}

// Enrol requests that one of the contacts adds this gateway to its datacenter,
// which is a member. The membership is stored last. A refusal is a
// *catalog.Refusal.
func (a *Admission) Enrol(ctx context.Context, shared identity.SharedState, request JoinRequest, progress Progress) error {
	if err := a.Adopt(shared); err != nil {
		return err
	}
	if err := a.checkControlPort(ctx, a.Sockets(nil)); err != nil {
		return err
	}
	enroller, contacts, err := a.enroller(shared)
	if err != nil {
		return err
	}
	response, err := enroller.Enrol(ctx, contacts, &controlpb.EnrolRequest{Gateway: request.Gateway.Proto()})
	if err != nil {
		return err
	}
	pins := make(map[catalog.DatacenterName]identity.Pin)
	for _, c := range contacts {
		pins[c.Gateway.Datacenter()] = c.Pin
	}
	return a.admitted(&controlpb.JoinResponse{
		Result: response.GetResult(), Snapshot: response.GetSnapshot(), Trust: response.GetTrust(), Electorate: response.GetElectorate(),
	}, func(l trust.Ledger, _ *replica.View) (trust.Ledger, error) { return l.WithPins(pins), nil }, progress)
}

func (a *Admission) enroller(shared identity.SharedState) (control.Enroller, []control.Contact, error) {
	ca, err := identity.DecodeCA(a.File.Datacenter, shared.Certificate, shared.Key)
	if err != nil {
		return control.Enroller{}, nil, fmt.Errorf("read the CA of the shared state: %w", err)
	}
	contacts, err := a.contacts(*shared.Membership)
	enroller := control.Enroller{CA: ca, FederationID: shared.Membership.FederationID, Sockets: a.Sockets(nil), Sentinels: Sentinels()}
	return enroller, contacts, err
}

// contacts returns the other gateways, those of the own datacenter first.
func (a *Admission) contacts(m identity.DatacenterMembership) ([]control.Contact, error) {
	var contacts []control.Contact
	for _, c := range m.Contacts {
		if c.Gateway == a.File.GatewayID() {
			continue
		}
		contact := control.Contact{Gateway: c.Gateway, Addresses: c.Controls}
		pin, err := hex.DecodeString(c.Pin)
		if err != nil || len(pin) != len(contact.Pin) {
			return nil, fmt.Errorf("read the contacts of the shared state: the pin of %s is not a SHA-256 in hex", c.Gateway)
		}
		contact.Pin = identity.Pin(pin)
		contacts = append(contacts, contact)
	}
	distance := func(c control.Contact) int {
		if c.Gateway.Datacenter() == a.File.Datacenter {
			return 0
		}
		return 1
	}
	slices.SortStableFunc(contacts, func(a, b control.Contact) int { return cmp.Compare(distance(a), distance(b)) })
	return contacts, nil
}

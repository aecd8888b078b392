package federation

import (
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/meshway/meshway/agent"
	"github.com/meshway/meshway/agent/control"
	"github.com/meshway/meshway/agent/control/controlpb"
	"github.com/meshway/meshway/agent/identity"
	"github.com/meshway/meshway/consensus"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/catalogpb"
)

// Authority implements agent.Enrolment.
func (m *Manager) Authority() ([]byte, agent.CAKey, error) {
	ca, err := m.store.CA(m.cfg.Datacenter, time.Now())
	if err != nil {
		return nil, nil, err
	}
	return ca.Encode()
}

// Adopt implements agent.Enrolment.
func (m *Manager) Adopt(common agent.Common) error {
	ca, err := identity.DecodeCA(m.cfg.Datacenter, common.Certificate, common.Key)
	if errors.Is(err, identity.ErrOtherDatacenter) {
		err = fmt.Errorf("%w: %w", agent.ErrFormerName, err)
	}
	if err != nil {
		return fmt.Errorf("take the CA that the gateways have in common: %w", err)
	}
	return m.store.AdoptCA(ca)
}

// Enrol implements agent.Enrolment. The membership is stored last.
func (m *Manager) Enrol(ctx context.Context, common agent.Common, candidate agent.Candidate, progress func(step, message string)) error {
	if err := m.Adopt(common); err != nil {
		return err
	}
	if err := m.portIsFree(ctx, m.sockets(nil)); err != nil {
		return err
	}
	response, err := m.ask(ctx, common, &controlpb.EnrolRequest{Gateway: candidate.Gateway.Proto()})
	if err != nil {
		return err
	}
	return m.admitted(&controlpb.JoinResponse{Result: response.GetResult(), Snapshot: response.GetSnapshot()}, progress)
}

// Known implements agent.Enrolment.
func (m *Manager) Known(ctx context.Context, common agent.Common) (bool, error) {
	gateway := catalog.Gateway{Datacenter: m.cfg.Datacenter, Name: m.cfg.Gateway}
	response, err := m.ask(ctx, common, &controlpb.EnrolRequest{Gateway: gateway.Proto(), Ask: true})
	return response.GetKnown(), err
}

func (m *Manager) ask(ctx context.Context, common agent.Common, request *controlpb.EnrolRequest) (*controlpb.EnrolResponse, error) {
	ca, err := identity.DecodeCA(m.cfg.Datacenter, common.Certificate, common.Key)
	if err != nil {
		return nil, fmt.Errorf("take the CA that the gateways have in common: %w", err)
	}
	contacts, err := m.contacts(*common.Standing)
	if err != nil {
		return nil, err
	}
	enroller := control.Enroller{CA: ca, FederationID: common.Standing.FederationID, Sockets: m.sockets(nil), Sentinels: Sentinels()}
	return enroller.Enrol(ctx, contacts, request)
}

// contacts are the other gateways, those of the own datacenter first.
func (m *Manager) contacts(s agent.Standing) ([]control.Contact, error) {
	var contacts []control.Contact
	for _, c := range s.Contacts {
		if c.Gateway == m.self() {
			continue
		}
		contact := control.Contact{Gateway: c.Gateway, Addresses: c.Controls}
		pin, err := hex.DecodeString(c.Pin)
		if err != nil || len(pin) != len(contact.Pin) {
			return nil, fmt.Errorf("read what the gateways have in common: the pin of %s is none", c.Gateway)
		}
		contact.Pin = identity.Pin(pin)
		contacts = append(contacts, contact)
	}
	distance := func(c control.Contact) int {
		if c.Gateway.Datacenter() == m.cfg.Datacenter {
			return 0
		}
		return 1
	}
	slices.SortStableFunc(contacts, func(a, b control.Contact) int { return cmp.Compare(distance(a), distance(b)) })
	return contacts, nil
}

// Common implements agent.Federation. It depends on the catalog alone, so that
// all gateways come to the same.
func (m *Member) Common() (agent.Common, bool, error) {
	view := m.node.View()
	federation, ok := view.Federation()
	if _, member := view.Datacenter(m.cfg.Datacenter); !ok || !member {
		return agent.Common{}, false, nil
	}
	certificate, key, err := m.certifier.CA().Encode()
	if err != nil {
		return agent.Common{}, false, err
	}
	standing := &agent.Standing{FederationID: federation.ID, FederationName: federation.Name, Overlay: federation.Overlay}
	for _, g := range view.Gateways() {
		dc, _ := view.Datacenter(g.Datacenter)
		pin, err := identity.PinOf(dc.CACertificate)
		if err != nil {
			return agent.Common{}, false, fmt.Errorf("read the CA of %s: %w", g.Datacenter, err)
		}
		standing.Contacts = append(standing.Contacts, agent.Contact{Gateway: g.ID(), Pin: pin.String(), Controls: g.Controls})
	}
	slices.SortFunc(standing.Contacts, func(a, b agent.Contact) int { return cmp.Compare(a.Gateway, b.Gateway) })
	return agent.Common{Certificate: certificate, Key: key, Standing: standing}, true, nil
}

// Enrol implements control.Service.
func (s *service) Enrol(ctx context.Context, gateway catalog.Gateway, ask bool) (*controlpb.EnrolResponse, error) {
	view, _, err := s.member.node.Read(ctx, consensus.LeaseRead)
	if err != nil {
		return nil, err
	}
	_, known := view.Gateway(gateway.ID())
	if ask {
		return &controlpb.EnrolResponse{Known: known}, nil
	}
	if err := s.disenfranchise(ctx, gateway.ID()); err != nil {
		return nil, err
	}
	result, err := s.addGateway(ctx, gateway)
	if err != nil {
		return nil, err
	}
	if result.Refusal != nil {
		return nil, result.Refusal
	}
	snapshot, err := s.snapshot()
	if err != nil {
		return nil, err
	}
	s.member.log.Info("gateway enrolled", "datacenter", gateway.Datacenter, "gateway", gateway.Name, "returned", known)
	return &controlpb.EnrolResponse{Result: result.Proto(), Snapshot: snapshot, Known: known}, nil
}

// disenfranchise takes raft's vote from a gateway that comes back without its
// log: what it has voted for and stored before is forgotten, and must not count.
// It is taken in again without a vote.
func (s *service) disenfranchise(ctx context.Context, id catalog.GatewayID) error {
	status := s.member.node.Status()
	if status.Role == "" {
		return consensus.ErrClosed
	}
	if !slices.ContainsFunc(status.Peers, func(p consensus.Peer) bool { return p.ID == id }) {
		return nil
	}
	return s.member.node.RemovePeer(ctx, id)
}

// addGateway writes in the name of this gateway for its own datacenter. For
// another one only the gateway itself may, whose word the leader alone can pass on.
func (s *service) addGateway(ctx context.Context, gateway catalog.Gateway) (catalog.Result, error) {
	command := catalog.NewAddGateway(gateway)
	if gateway.Datacenter == s.member.cfg.Datacenter {
		results, err := s.member.Propose(ctx, command)
		if err != nil {
			return catalog.Result{}, err
		}
		return results[0], nil
	}
	command.Author, command.At = string(gateway.ID()), timestamppb.Now()
	command.Client, command.Sequence = "enrol#"+uuid.NewString(), 1
	results, err := s.member.node.ApplyForwarded(ctx, []*catalogpb.Command{command})
	if err != nil {
		return catalog.Result{}, err
	}
	return results[0], nil
}

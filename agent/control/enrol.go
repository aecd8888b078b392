package control

import (
	"context"
	"crypto/x509"
	"fmt"
	"slices"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"

	"github.com/meshway/meshway/agent/control/controlpb"
	"github.com/meshway/meshway/agent/identity"
	"github.com/meshway/meshway/agent/rpc"
	"github.com/meshway/meshway/consensus/catalog"
)

// CodeNoContact is the code of the refusal if no gateway answered a request to
// enrol.
const CodeNoContact = "no-gateway-answers"

// Contact is a gateway that can admit another one.
type Contact struct {
	Gateway   catalog.GatewayID
	Pin       identity.Pin // of its datacenter's CA
	Addresses []string     // host:port, best first
}

// Enroller requests that the federation adds a gateway to a datacenter that is
// already a member. The CA of that datacenter authorises the request.
type Enroller struct {
	CA           *identity.CA // of the datacenter
	FederationID string
	Sockets      Sockets
	Sentinels    rpc.Sentinels
}

// Enrol sends the request to the contact that answers first, and to others until one
// returns the answer of the catalog. It sets the federation of the request. A refusal of the
// catalog is a *catalog.Refusal and ends the search; if no contact returned an
// answer, the error is an *AdmissionError. errors.Is finds identity.ErrNotMember if
// the catalog of a contact does not contain the datacenter.
func (e Enroller) Enrol(ctx context.Context, contacts []Contact, request *controlpb.EnrolRequest) (*controlpb.EnrolResponse, error) {
	certificate, err := e.CA.Issue(request.GetGateway().GetName(), e.FederationID, time.Now())
	if err != nil {
		return nil, err
	}
	request = proto.CloneOf(request) // the caller may send one message to several gateways at a time
	request.FederationId = e.FederationID
	var admitters []admitter
	for _, contact := range contacts {
		for _, address := range contact.Addresses {
			admitters = append(admitters, admitter{
				name:    fmt.Sprintf("%s at %s", contact.Gateway, address),
				address: address,
				verify:  e.verify(contact),
			})
		}
	}
	sentinels := append(slices.Clip(e.Sentinels), rpc.Sentinel{Name: notMemberName, Err: identity.ErrNotMember, Code: connect.CodePermissionDenied})
	r := requester{certificate: certificate, dial: e.Sockets.Dial, sentinels: sentinels}
	return requestAdmission(ctx, r, admitters, func(ctx context.Context, conn admissionConn) (*controlpb.EnrolResponse, error) {
		return messageOf(conn.Enrol(ctx, connect.NewRequest(request)))
	}, noContact)
}

func (e Enroller) verify(contact Contact) func([]*x509.Certificate) (identity.Peer, error) {
	return func(chain []*x509.Certificate) (identity.Peer, error) {
		peer, err := identity.VerifyPinned(chain, contact.Pin, e.FederationID, time.Now())
		if err == nil && peer.ID() != contact.Gateway {
			err = fmt.Errorf("verify %s: %w: %s", contact.Gateway, ErrWrongPeer, peer)
		}
		return peer, err
	}
}

func noContact(tried []error) *catalog.Refusal {
	return &catalog.Refusal{
		Code:    CodeNoContact,
		Message: "no gateway of the federation enrolled this gateway: " + inOneLine(tried),
		Remedy:  "check that the gateways run and that this host reaches their control ports over TCP",
	}
}

package control

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"time"

	"connectrpc.com/connect"

	"github.com/meshway/meshway/agent/control/controlpb"
	"github.com/meshway/meshway/agent/identity"
	"github.com/meshway/meshway/agent/rpc"
	"github.com/meshway/meshway/consensus/catalog"
)

// CodeNoContact is of the refusal when no gateway could be asked to be enrolled.
const CodeNoContact = "no-gateway-answers"

// enrolDialTimeout is short: of a datacenter whose gateways died, all addresses
// are tried before those of others.
const enrolDialTimeout = 3 * time.Second

// Contact is a gateway that may take another one in.
type Contact struct {
	Gateway   catalog.GatewayID
	Pin       identity.Pin // of its datacenter's CA
	Addresses []string     // host:port, best first
}

// Enroller asks the members of a federation to take in a gateway of a
// datacenter that is one. Whoever holds the CA of the datacenter may ask.
type Enroller struct {
	CA           *identity.CA // of the datacenter
	FederationID string
	Sockets      Sockets
	Sentinels    rpc.Sentinels
}

// Enrol asks one contact after the other until one answers for the catalog. A
// refusal of the catalog is a *catalog.Refusal and ends the search; when nobody
// could be asked, it is a *NobodyError.
func (e Enroller) Enrol(ctx context.Context, contacts []Contact, request *controlpb.EnrolRequest) (*controlpb.EnrolResponse, error) {
	certificate, err := e.CA.Issue(request.GetGateway().GetName(), e.FederationID, time.Now())
	if err != nil {
		return nil, err
	}
	request.FederationId = e.FederationID
	a := applicant{certificate: certificate, dial: e.dial, sentinels: e.Sentinels}
	var hosts []host
	for _, contact := range contacts {
		for _, address := range contact.Addresses {
			name := fmt.Sprintf("%s at %s", contact.Gateway, address)
			hosts = append(hosts, host{name: name, address: address, verify: e.verify(contact)})
		}
	}
	return apply(ctx, a, hosts, func(ctx context.Context, in introduction) (*controlpb.EnrolResponse, error) {
		return message(in.Enrol(ctx, connect.NewRequest(request)))
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
		Code: CodeNoContact, Message: "no gateway of the federation could take this one in: " + inOneLine(tried),
		Remedy: "check that the gateways run and that their control ports can be reached over TCP from this host",
	}
}

func (e Enroller) dial(ctx context.Context, address string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, enrolDialTimeout)
	defer cancel()
	return e.Sockets.Dial(ctx, address)
}

// Enrol implements controlpbconnect.FederationHandler. authorise has seen that the
// caller is of a member; it may ask for itself only.
func (f *federation) Enrol(ctx context.Context, request *connect.Request[controlpb.EnrolRequest]) (*connect.Response[controlpb.EnrolResponse], error) {
	peer, ok := PeerFrom(ctx)
	if !ok {
		return nil, connect.NewError(connect.CodePermissionDenied, errors.New("no member"))
	}
	if ours := f.trust.certifier.Federation(); request.Msg.GetFederationId() != ours {
		return nil, &catalog.Refusal{
			Code: catalog.CodeFederationDiffers, Field: "federation_id",
			Message: "the gateway is of federation " + request.Msg.GetFederationId() + " and was received in " + ours,
			Remedy:  "let the datacenter leave with meshctl leave, and join again",
		}
	}
	named := identity.Peer{Datacenter: peer.Datacenter, Gateway: request.Msg.GetGateway().GetName()}
	if dc := request.Msg.GetGateway().GetDatacenter(); dc != "" {
		named.Datacenter = catalog.DatacenterName(dc)
	}
	if peer != named {
		return nil, &catalog.Refusal{
			Code: catalog.CodeCertificate, Field: "gateway",
			Message: "the certificate is of " + peer.String() + " and the request of " + named.String(),
			Remedy:  "use a data directory of its own for each gateway",
		}
	}
	gateway, err := catalog.GatewayFromProto(request.Msg.GetGateway())
	if err != nil {
		return nil, err
	}
	gateway.Datacenter = peer.Datacenter
	response, err := f.service.Enrol(ctx, gateway, request.Msg.GetAsk())
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(response), nil
}

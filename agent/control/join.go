package control

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"

	"github.com/meshway/meshway/agent/control/controlpb"
	"github.com/meshway/meshway/agent/identity"
	"github.com/meshway/meshway/agent/rpc"
	"github.com/meshway/meshway/consensus/catalog"
)

// Codes of the refusals of a join that did not reach the catalog.
const (
	CodeUnreachable = "federation-unreachable" // no endpoint of the token returned an answer
	CodePin         = "token-pin"              // an endpoint has another CA than the token's pin names
	CodeFamily      = "no-common-family"       // all endpoints are of an address family that this host does not have
)

// Joiner requests that a federation admits a datacenter.
type Joiner struct {
	CA        *identity.CA // of the datacenter that joins
	Sockets   Sockets
	Sentinels rpc.Sentinels
	Now       func() time.Time // of this host's clock

	CheckOverlay func(netip.Prefix) error   // why this host cannot be in a federation with an overlay; may be nil
	Progress     func(step, message string) // receives each step: its stable name and a message for the user; may be nil
}

// Join sends the request to the endpoint of the token that matches the token's pin
// first, and to others until one returns the answer of the catalog. The caller sets
// the prefixes of the datacenter and the gateway in the request; Join sets the
// rest. A refusal of the catalog is a *catalog.Refusal and ends the search; if no
// endpoint returned an answer, the error is an *AdmissionError.
func (j Joiner) Join(ctx context.Context, token identity.Token, request *controlpb.JoinRequest) (*controlpb.JoinResponse, error) {
	if err := errors.Join(token.CheckExpiry(j.Now()), token.CheckDatacenter(j.CA.Datacenter())); err != nil {
		return nil, err
	}
	certificate, err := j.CA.Issue(request.GetGateway().GetName(), token.FederationID, j.Now())
	if err != nil {
		return nil, err
	}
	request.TokenId, request.Secret, request.FederationId = token.ID, token.Secret.Bytes(), token.FederationID
	request.Datacenter.Name = string(j.CA.Datacenter())
	request.Datacenter.CaCertificate = j.CA.Certificate()
	var admitters []admitter
	for _, endpoint := range token.Endpoints {
		admitters = append(admitters, admitter{name: endpoint, address: endpoint, verify: func(chain []*x509.Certificate) (identity.Peer, error) {
			return identity.VerifyPinned(chain, token.Pin, token.FederationID, j.Now())
		}})
	}
	r := requester{certificate: certificate, dial: j.dial(), sentinels: j.Sentinels}
	return requestAdmission(ctx, r, admitters, func(ctx context.Context, conn admissionConn) (*controlpb.JoinResponse, error) {
		// The handshake has verified the peer before the secret is sent.
		j.progress("prove-pin", "verified "+conn.peer.String()+" by the pin in the token")
		if preview, err := j.preview(ctx, conn, request); err != nil || preview.GetResult() != nil {
			return preview, err
		}
		return messageOf(conn.Join(ctx, connect.NewRequest(request)))
	}, func(tried []error) *catalog.Refusal { return unreachable(token, tried) })
}

// preview checks what the datacenter would join before anything is promised. The
// response of a gateway that has no previews is that of the join itself.
func (j Joiner) preview(ctx context.Context, conn admissionConn, request *controlpb.JoinRequest) (*controlpb.JoinResponse, error) {
	if j.CheckOverlay == nil {
		return nil, nil
	}
	only := proto.CloneOf(request)
	only.Preview = true
	response, err := messageOf(conn.Join(ctx, connect.NewRequest(only)))
	if err != nil || response.GetOverlay() == "" {
		return response, err
	}
	overlay, err := netip.ParsePrefix(response.GetOverlay())
	if err != nil {
		return nil, fmt.Errorf("read the overlay of the federation: %w", err)
	}
	return response, j.CheckOverlay(overlay)
}

func unreachable(token identity.Token, tried []error) *catalog.Refusal {
	refusal := &catalog.Refusal{
		Code: CodeUnreachable, Field: "token",
		Message: fmt.Sprintf("no endpoint of federation %s admitted this datacenter: %s", token.FederationName, inOneLine(tried)),
		Remedy:  "check that meshd runs at those endpoints and that this host reaches their control ports over TCP",
	}
	if theirs, ours := familyMissing(token.Endpoints, tried); theirs != "" {
		refusal.Code = CodeFamily
		refusal.Message = fmt.Sprintf("no endpoint of federation %s admitted this datacenter: the token has %s addresses only (%s), and this host has no %s address that reaches them",
			token.FederationName, theirs, strings.Join(token.Endpoints, ", "), theirs)
		refusal.Remedy = fmt.Sprintf("give this host an %s address; or give the gateway that created the token an %s address, "+
			"add it to wireguard.advertise and control.advertise there if these are set, and create a new token; "+
			"or use a token of a gateway that has addresses of both families", theirs, ours)
	}
	if _, differ := errors.AsType[*identity.DatesError](errors.Join(tried...)); differ {
		refusal.Code, refusal.Remedy = catalog.CodeCertificate,
			"compare the clocks of both hosts (timedatectl status shows them), set the wrong one, and join again: the token was not used"
	}
	if errors.Is(errors.Join(tried...), identity.ErrPin) {
		refusal.Code = CodePin
		refusal.Remedy = "create a new token with \"meshctl token create\" if the datacenter that created this one was initialized again; " +
			"otherwise find out which host answers at that address"
	}
	return refusal
}

// familyMissing returns the only address family of the endpoints, and the other one, if
// this host has nothing with which it could send to any of them; else "".
func familyMissing(endpoints []string, tried []error) (theirs, ours string) {
	families := make(map[bool]bool)
	for _, endpoint := range endpoints {
		address, err := netip.ParseAddrPort(endpoint)
		if err != nil {
			return "", "" // a name
		}
		families[address.Addr().Unmap().Is4()] = true
	}
	cannotSend := func(err error) bool {
		return errors.Is(err, syscall.ENETUNREACH) || errors.Is(err, syscall.EADDRNOTAVAIL) || errors.Is(err, syscall.EAFNOSUPPORT)
	}
	switch {
	case len(families) != 1 || slices.ContainsFunc(tried, func(err error) bool { return !cannotSend(err) }):
		return "", ""
	case families[true]:
		return "IPv4", "IPv6"
	default:
		return "IPv6", "IPv4"
	}
}

// dial returns a function that connects to an endpoint and reports that, for one
// endpoint at a time.
func (j Joiner) dial() func(ctx context.Context, endpoint string) (net.Conn, error) {
	var reporting sync.Mutex
	return func(ctx context.Context, endpoint string) (net.Conn, error) {
		raw, err := j.Sockets.Dial(ctx, endpoint)
		if err != nil {
			return nil, err
		}
		reporting.Lock()
		defer reporting.Unlock()
		j.progress("dial", "connected to "+endpoint)
		return raw, nil
	}
}

func (j Joiner) progress(step, message string) {
	if j.Progress != nil {
		j.Progress(step, message)
	}
}

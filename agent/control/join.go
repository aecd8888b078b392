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

// Codes of refusals of a join that never reached the catalog.
const (
	CodeUnreachable = "federation-unreachable" // none of the token's endpoints answers
	CodePin         = "token-pin"              // who answers is not who made the token
)

// Joiner asks a federation to admit a datacenter.
type Joiner struct {
	CA        *identity.CA // of the datacenter that joins
	Sockets   Sockets
	Sentinels rpc.Sentinels
	// Progress is told each step, with a stable name and words for a person; may be nil.
	Progress func(step, message string)
}

// Join tries the endpoints of the token in order until one of them answers and
// is who the token says. The request needs the datacenter's name and prefixes and the
// gateway; the rest is filled in. A refusal of the federation is a
// *catalog.Refusal and ends the search; when nobody could be asked, it is a *NobodyError.
func (j Joiner) Join(ctx context.Context, token identity.Token, request *controlpb.JoinRequest) (*controlpb.JoinResponse, error) {
	if err := errors.Join(token.CheckExpiry(time.Now()), token.CheckDatacenter(j.CA.Datacenter())); err != nil {
		return nil, err
	}
	certificate, err := j.CA.Issue(request.GetGateway().GetName(), token.FederationID, time.Now())
	if err != nil {
		return nil, err
	}
	request.TokenId, request.Secret, request.FederationId = token.ID, token.Secret[:], token.FederationID
	request.Datacenter.Name = string(j.CA.Datacenter())
	request.Datacenter.CaCertificate = j.CA.Certificate()
	a := applicant{certificate: certificate, dial: j.dial, sentinels: j.Sentinels}
	var hosts []host
	for _, endpoint := range token.Endpoints {
		hosts = append(hosts, host{name: endpoint, address: endpoint, verify: func(chain []*x509.Certificate) (identity.Peer, error) {
			return identity.VerifyPinned(chain, token.Pin, token.FederationID, time.Now())
		}})
	}
	return apply(ctx, a, hosts, func(ctx context.Context, in introduction) (*controlpb.JoinResponse, error) {
		// The other end has proved who it is before the secret is sent.
		j.progress("prove-pin", in.peer.String()+" is who made the token")
		return message(in.Join(ctx, connect.NewRequest(request)))
	}, func(tried []error) *catalog.Refusal { return unreachable(token, tried) })
}

func unreachable(token identity.Token, tried []error) *catalog.Refusal {
	refusal := &catalog.Refusal{
		Code: CodeUnreachable, Field: "token",
		Message: fmt.Sprintf("federation %s could not be asked: %s", token.FederationName, inOneLine(tried)),
		Remedy:  "check that meshd runs there and that its control port can be reached over TCP from this host",
	}
	if errors.Is(errors.Join(tried...), identity.ErrPin) {
		refusal.Code = CodePin
		refusal.Remedy = "make a new token with \"meshctl token create\" if the inviting datacenter was set up anew; else somebody else answers at that address"
	}
	return refusal
}

func (j Joiner) dial(ctx context.Context, endpoint string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	raw, err := j.Sockets.Dial(ctx, endpoint)
	if err != nil {
		return nil, err
	}
	j.progress("dial", "connected to "+endpoint)
	return raw, nil
}

func (j Joiner) progress(step, message string) {
	if j.Progress != nil {
		j.Progress(step, message)
	}
}

package control

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"connectrpc.com/connect"

	"github.com/meshway/meshway/agent/control/controlpb"
	"github.com/meshway/meshway/agent/identity"
	"github.com/meshway/meshway/consensus/catalog"
)

// Codes of refusals of a join that never reached the catalog.
const (
	CodeUnreachable = "federation-unreachable" // none of the token's endpoints answers
	CodePin         = "token-pin"              // who answers is not who made the token
)

// joinTimeout bounds one attempt to be admitted: the other side waits for the
// catalog's quorum.
const joinTimeout = 50 * time.Second

// Joiner asks a federation to admit a datacenter.
type Joiner struct {
	CA        *identity.CA // of the datacenter that joins
	Sockets   Sockets
	Sentinels Sentinels
	Now       func() time.Time // nil: time.Now
	// Progress is told each step, with a stable name and words for a person; may be nil.
	Progress func(step, message string)
}

// JoinError says why no endpoint of a token admitted us. errors.As finds its
// *catalog.Refusal, errors.Is finds identity.ErrPin if that was met.
type JoinError struct {
	Refusal *catalog.Refusal
	Tried   []error // one for each endpoint
}

// Error is that of the refusal.
func (e *JoinError) Error() string { return e.Refusal.Error() }

// Unwrap gives the refusal and the causes.
func (e *JoinError) Unwrap() []error { return append([]error{e.Refusal}, e.Tried...) }

// Join tries the endpoints of the token in order until one of them answers and
// is who the token says. The request needs the datacenter's name and prefixes and the
// gateway; the rest is filled in. A refusal of the federation is a
// *catalog.Refusal and ends the search; when nobody could be asked, it is a *JoinError.
func (j Joiner) Join(ctx context.Context, token identity.Token, request *controlpb.JoinRequest) (*controlpb.JoinResponse, error) {
	if j.Now == nil {
		j.Now = time.Now
	}
	if err := errors.Join(token.CheckExpiry(j.Now()), token.CheckDatacenter(j.CA.Datacenter())); err != nil {
		return nil, err
	}
	certificate, err := j.CA.Issue(request.GetGateway().GetName(), token.FederationID, j.Now())
	if err != nil {
		return nil, err
	}
	request.TokenId, request.Secret, request.FederationId = token.ID, token.Secret[:], token.FederationID
	request.Datacenter.Name = string(j.CA.Datacenter())
	request.Datacenter.CaCertificate = j.CA.Certificate()
	var tried []error
	for _, endpoint := range token.Endpoints {
		response, err := j.attempt(ctx, endpoint, certificate, token, request)
		if err == nil {
			return response, nil
		}
		if final(ctx, err) {
			return nil, err
		}
		tried = append(tried, fmt.Errorf("%s: %w", endpoint, err))
	}
	return nil, joinError(token, tried)
}

// final reports whether another endpoint cannot know better.
func final(ctx context.Context, err error) bool {
	_, refused := errors.AsType[*catalog.Refusal](err)
	return refused || ctx.Err() != nil
}

func joinError(token identity.Token, tried []error) error {
	texts := make([]string, len(tried))
	for i, err := range tried {
		texts[i] = err.Error()
	}
	refusal := &catalog.Refusal{
		Code: CodeUnreachable, Field: "token",
		Message: fmt.Sprintf("federation %s could not be asked: %s", token.FederationName, strings.Join(texts, "; ")),
		Remedy:  "check that meshd runs there and that its control port can be reached over TCP from this host",
	}
	if errors.Is(errors.Join(tried...), identity.ErrPin) {
		refusal.Code = CodePin
		refusal.Remedy = "make a new token with \"meshctl token create\" if the inviting datacenter was set up anew; else somebody else answers at that address"
	}
	return &JoinError{Refusal: refusal, Tried: tried}
}

// attempt asks one endpoint.
func (j Joiner) attempt(ctx context.Context, endpoint string, certificate *tls.Certificate, token identity.Token, request *controlpb.JoinRequest) (*controlpb.JoinResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, joinTimeout)
	defer cancel()
	raw, err := j.connect(ctx, endpoint)
	if err != nil {
		return nil, err
	}
	// The other end proves who it is before the secret is sent.
	verify := func(chain []*x509.Certificate) (identity.Peer, error) {
		return identity.VerifyPinned(chain, token.Pin, token.FederationID, j.Now())
	}
	c, err := introduce(ctx, raw, certificate, verify)
	if err != nil {
		return nil, err
	}
	defer c.close()
	j.progress("prove-pin", c.peer.String()+" is who made the token")
	response, err := c.Join(ctx, connect.NewRequest(request))
	if err != nil {
		return nil, j.Sentinels.FromConnect(err)
	}
	if refusal := response.Msg.GetResult().GetRefusal(); refusal != nil {
		return nil, catalog.RefusalFromProto(refusal)
	}
	return response.Msg, nil
}

func (j Joiner) connect(ctx context.Context, endpoint string) (net.Conn, error) {
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

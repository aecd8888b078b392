package control

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"time"

	"connectrpc.com/connect"

	"github.com/meshway/meshway/agent/identity"
	"github.com/meshway/meshway/agent/rpc"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/catalogpb"
)

// admissionTimeout bounds one attempt to be taken in: the other side waits for
// the catalog's quorum.
const admissionTimeout = 50 * time.Second

// NobodyError says why nobody who was asked took us in. errors.As finds its
// *catalog.Refusal, errors.Is identity.ErrPin and ErrWrongPeer if those were met.
type NobodyError struct {
	Refusal *catalog.Refusal
	Tried   []error // one for each address
}

// Error is that of the refusal.
func (e *NobodyError) Error() string { return e.Refusal.Error() }

// Unwrap gives the refusal and the causes.
func (e *NobodyError) Unwrap() []error { return append([]error{e.Refusal}, e.Tried...) }

// applicant is a gateway that has no catalog yet and asks to be taken in.
type applicant struct {
	certificate *tls.Certificate
	dial        func(ctx context.Context, address string) (net.Conn, error)
	sentinels   rpc.Sentinels
}

// host is a gateway that may take others in.
type host struct {
	name    string // for people
	address string // host:port
	verify  func(chain []*x509.Certificate) (identity.Peer, error)
}

// admission is the catalog's answer.
type admission interface{ GetResult() *catalogpb.Result }

// apply asks one host after the other until one answers for the catalog; a
// refusal of the catalog is a *catalog.Refusal and ends the search. When nobody
// could be asked, the error is what nobody makes of one cause for each.
func apply[A admission](ctx context.Context, a applicant, hosts []host,
	ask func(context.Context, introduction) (A, error), nobody func(tried []error) *catalog.Refusal,
) (answer A, err error) {
	var tried []error
	for _, h := range hosts {
		if answer, err = askOne(ctx, a, h, ask); err == nil {
			return answer, nil
		}
		if _, refused := errors.AsType[*catalog.Refusal](err); refused || ctx.Err() != nil {
			return answer, err
		}
		tried = append(tried, fmt.Errorf("%s: %w", h.name, err))
	}
	return answer, &NobodyError{Refusal: nobody(tried), Tried: tried}
}

func askOne[A admission](ctx context.Context, a applicant, h host, ask func(context.Context, introduction) (A, error)) (none A, err error) {
	ctx, cancel := context.WithTimeout(ctx, admissionTimeout)
	defer cancel()
	raw, err := a.dial(ctx, h.address)
	if err != nil {
		return none, err
	}
	in, err := introduce(ctx, raw, a.certificate, h.verify)
	if err != nil {
		return none, err
	}
	defer in.close()
	answer, err := ask(ctx, in)
	if err != nil {
		return none, a.sentinels.FromConnect(err)
	}
	if refusal := answer.GetResult().GetRefusal(); refusal != nil {
		return none, catalog.RefusalFromProto(refusal)
	}
	return answer, nil
}

// message is what an answer says.
func message[M any](answer *connect.Response[M], err error) (*M, error) {
	if err != nil {
		return nil, err
	}
	return answer.Msg, nil
}

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

	"github.com/meshway/meshway/agent/control/internal/race"
	"github.com/meshway/meshway/agent/identity"
	"github.com/meshway/meshway/agent/rpc"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/catalogpb"
)

// admissionTimeout bounds an admission request to one gateway, which waits for
// the quorum of the catalog before it answers.
const admissionTimeout = 50 * time.Second

// AdmissionError reports that no address returned an answer of the catalog to an
// admission request. errors.As finds its *catalog.Refusal; errors.Is finds
// identity.ErrPin and ErrWrongPeer if an attempt failed because of them.
type AdmissionError struct {
	Refusal *catalog.Refusal
	Tried   []error // one for each address
}

// Error returns the text of the refusal.
func (e *AdmissionError) Error() string { return e.Refusal.Error() }

// Unwrap returns the refusal and the error of each address.
func (e *AdmissionError) Unwrap() []error { return append([]error{e.Refusal}, e.Tried...) }

// requester is a gateway that has no catalog yet and requests admission.
type requester struct {
	certificate *tls.Certificate
	dial        func(ctx context.Context, address string) (net.Conn, error)
	sentinels   rpc.Sentinels
}

// admitter is one address of a gateway that can admit others.
type admitter struct {
	name    string // in error messages
	address string // host:port
	verify  func(chain []*x509.Certificate) (identity.Peer, error)
}

// admissionResponse is a JoinResponse or an EnrolResponse.
type admissionResponse interface{ GetResult() *catalogpb.Result }

// requestAdmission sends a request to the admitter that answers first, and if it
// returns no answer of the catalog, to the next one: admitters are dialled in parallel,
// because an address that drops packets takes dialTimeout, but only one at a time has the
// request. A *catalog.Refusal ends the search. If no admitter returned an answer, the
// error is an *AdmissionError, with the refusal that unanswered makes of their errors.
func requestAdmission[R admissionResponse](ctx context.Context, r requester, admitters []admitter,
	send func(context.Context, admissionConn) (R, error), unanswered func(tried []error) *catalog.Refusal,
) (response R, err error) {
	var tried []error
	for len(admitters) > 0 {
		conn, won, failed := race.Dial(ctx, len(admitters), func(ctx context.Context, i int) (admissionConn, error) {
			return r.connect(ctx, admitters[i])
		})
		if won >= 0 {
			if response, err = requestOver(ctx, r, conn, send); err == nil {
				return response, nil
			}
			if _, refused := errors.AsType[*catalog.Refusal](err); refused {
				return response, err
			}
			failed[won] = err
		}
		var untried []admitter
		for i, a := range admitters {
			if failed[i] == nil {
				untried = append(untried, a)
			} else {
				tried = append(tried, fmt.Errorf("%s: %w", a.name, failed[i]))
			}
		}
		if ctx.Err() != nil {
			return response, fmt.Errorf("%s: %w", inOneLine(tried), ctx.Err())
		}
		admitters = untried
	}
	return response, &AdmissionError{Refusal: unanswered(tried), Tried: tried}
}

// connect connects to an admitter and verifies it.
func (r requester) connect(ctx context.Context, a admitter) (admissionConn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	raw, err := r.dial(ctx, a.address)
	if err != nil {
		return admissionConn{}, err
	}
	return newAdmissionConn(ctx, raw, r.certificate, a.verify)
}

// requestOver sends a request over a connection and closes it.
func requestOver[R admissionResponse](ctx context.Context, r requester, conn admissionConn, send func(context.Context, admissionConn) (R, error)) (none R, err error) {
	ctx, cancel := context.WithTimeout(ctx, admissionTimeout)
	defer cancel()
	defer conn.Close() // the call has ended
	response, err := send(ctx, conn)
	if err != nil {
		return none, r.sentinels.FromConnect(err)
	}
	if refusal := response.GetResult().GetRefusal(); refusal != nil {
		return none, catalog.RefusalFromProto(refusal)
	}
	return response, nil
}

// messageOf returns the message in the response to a call.
func messageOf[M any](response *connect.Response[M], err error) (*M, error) {
	if err != nil {
		return nil, err
	}
	return response.Msg, nil
}

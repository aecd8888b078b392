package rpc

import (
	"context"
	"errors"

	"connectrpc.com/connect"

	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/catalogpb"
)

// errorHeader carries the name of a Sentinel in the metadata of an error.
const errorHeader = "Meshway-Error"

// MaxArchive bounds the messages that carry a snapshot of the catalog, in bytes.
const MaxArchive = 256 << 20

// Sentinel is an error that keeps its meaning over the wire: errors.Is finds it
// on the caller's side too.
type Sentinel struct {
	Name string // on the wire; stable
	Err  error
	Code connect.Code
}

// Sentinels are the errors that one service answers with. The zero value knows
// refusals and context errors only.
type Sentinels []Sentinel

// ToConnect turns an error into what travels: a *catalog.Refusal becomes an
// error detail (meshway.catalog.v1.Refusal) of code failed_precondition, a sentinel its
// code and name, the end of a context its code, the rest code unknown.
func (s Sentinels) ToConnect(err error) error {
	if err == nil {
		return nil
	}
	if _, ok := errors.AsType[*connect.Error](err); ok {
		return err
	}
	if refusal, ok := errors.AsType[*catalog.Refusal](err); ok {
		return refusalToConnect(refusal)
	}
	for _, sentinel := range s {
		if errors.Is(err, sentinel.Err) {
			return NewNamedError(sentinel.Code, sentinel.Name, err)
		}
	}
	return connect.NewError(codeOf(err), err)
}

// NewNamedError returns an error with a name that the caller of the procedure
// reads with NameOf.
func NewNamedError(code connect.Code, name string, err error) *connect.Error {
	e := connect.NewError(code, err)
	e.Meta().Set(errorHeader, name)
	return e
}

// NameOf returns the name of an error, empty if it has none.
func NameOf(err *connect.Error) string { return err.Meta().Get(errorHeader) }

func refusalToConnect(refusal *catalog.Refusal) error {
	e := connect.NewError(connect.CodeFailedPrecondition, refusal)
	detail, err := connect.NewErrorDetail(refusal.Proto())
	if err != nil {
		return connect.NewError(connect.CodeInternal, errors.Join(refusal, err))
	}
	e.AddDetail(detail)
	return e
}

func codeOf(err error) connect.Code {
	switch {
	case errors.Is(err, context.Canceled):
		return connect.CodeCanceled
	case errors.Is(err, context.DeadlineExceeded):
		return connect.CodeDeadlineExceeded
	}
	return connect.CodeUnknown
}

// FromConnect is the way back: a *catalog.Refusal where there is one, an error that
// matches the sentinel, or the *connect.Error as it is.
func (s Sentinels) FromConnect(err error) error {
	rpc, ok := errors.AsType[*connect.Error](err)
	if !ok {
		return err
	}
	if refusal, ok := refusalOf(rpc); ok {
		return refusal
	}
	name := NameOf(rpc)
	for _, sentinel := range s {
		if name == sentinel.Name {
			return &remoteError{message: rpc.Message(), is: sentinel.Err}
		}
	}
	return err
}

// remoteError is an error of another process in its own words.
type remoteError struct {
	message string
	is      error
}

func (e *remoteError) Error() string { return e.message }
func (e *remoteError) Unwrap() error { return e.is }

func refusalOf(rpc *connect.Error) (*catalog.Refusal, bool) {
	for _, detail := range rpc.Details() {
		value, err := detail.Value()
		if err != nil {
			continue // of a newer release; the code and the message remain
		}
		if refusal, ok := value.(*catalogpb.Refusal); ok {
			return catalog.RefusalFromProto(refusal), true
		}
	}
	return nil, false
}

// FromConnect is Sentinels.FromConnect without sentinels.
func FromConnect(err error) error { return Sentinels(nil).FromConnect(err) }

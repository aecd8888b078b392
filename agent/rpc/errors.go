package rpc

import (
	"context"
	"errors"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"

	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/catalogpb"
)

// errorHeader is the header with the name of an error.
const errorHeader = "Meshway-Error"

// MaxArchive bounds the messages that carry a snapshot of the catalog, in bytes.
const MaxArchive = 256 << 20

// CompressFrom is the size from which answers over the network are compressed, in
// bytes. Compressing a smaller one costs more time than sending it: for reads and
// writes of single records a fifth of the whole.
const CompressFrom = 64 << 10

// Sentinel is an error that keeps its identity over the wire: errors.Is finds it
// in the error that the caller receives.
type Sentinel struct {
	Name string // on the wire; stable
	Err  error
	Code connect.Code
}

// Sentinels are the sentinels of a service. With the zero value, only refusals and
// the errors of contexts keep their identity.
type Sentinels []Sentinel

// ToConnect converts an error of a handler to a *connect.Error. A *catalog.Refusal
// becomes a detail (meshway.catalog.v1.Refusal) of code failed_precondition; a
// sentinel has its code and name, an error of a context its code, and any other
// error code unknown. A nil error and a *connect.Error are returned unchanged.
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
	return NewRefusal(connect.CodeFailedPrecondition, refusal)
}

// NewRefusal returns an error of a handler that has a refusal as its first detail,
// followed by others, and another code than failed_precondition.
func NewRefusal(code connect.Code, refusal *catalog.Refusal, others ...proto.Message) error {
	e := connect.NewError(code, refusal)
	for _, m := range append([]proto.Message{refusal.Proto()}, others...) {
		detail, err := connect.NewErrorDetail(m)
		if err != nil {
			return connect.NewError(connect.CodeInternal, errors.Join(refusal, err))
		}
		e.AddDetail(detail)
	}
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

// FromConnect converts the error of a call back: to a *catalog.Refusal if it
// contains one, or to an error that matches its sentinel. Any other error is
// returned unchanged.
func (s Sentinels) FromConnect(err error) error {
	remote, ok := errors.AsType[*connect.Error](err)
	if !ok {
		return err
	}
	if refusal, ok := refusalOf(remote); ok {
		return refusal
	}
	name := NameOf(remote)
	for _, sentinel := range s {
		if name == sentinel.Name {
			return &remoteError{message: remote.Message(), err: sentinel.Err}
		}
	}
	return err
}

// remoteError has the message of another process and wraps a sentinel.
type remoteError struct {
	message string
	err     error
}

func (e *remoteError) Error() string { return e.message }
func (e *remoteError) Unwrap() error { return e.err }

func refusalOf(remote *connect.Error) (*catalog.Refusal, bool) {
	for _, detail := range remote.Details() {
		value, err := detail.Value()
		if err != nil {
			continue // unknown to this release; the code and the message remain
		}
		if refusal, ok := value.(*catalogpb.Refusal); ok {
			return catalog.RefusalFromProto(refusal), true
		}
	}
	return nil, false
}

// FromConnect calls Sentinels.FromConnect without sentinels.
func FromConnect(err error) error { return Sentinels(nil).FromConnect(err) }

package api

import (
	"errors"
	"fmt"

	"connectrpc.com/connect"

	"github.com/meshway/meshway/agent/api/apipb"
	"github.com/meshway/meshway/agent/registrar"
	"github.com/meshway/meshway/agent/rpc"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/feed"
)

// Codes of the refusals of this package. They are stable.
const (
	CodeInvalidArgument = "invalid-argument"
	CodeUnknownService  = "unknown-service"
	CodeHistoryLost     = "history-lost"   // the changes since an index are no longer known
	CodeIndexAhead      = "index-ahead"    // the catalog has not reached that index
	CodeConflict        = "conflict"       // the instance has changed since if_index
	CodeRequestReused   = "request-reused" // another request had this request_id
	CodeTooManyCalls    = "too-many-calls" // the caller has too many calls open
	CodeTooSlow         = "too-slow"       // the program reads the first state of a watch too slowly
	CodeEnded           = "ended"          // meshd ends, or this gateway has left the federation
)

func invalid(field, message, remedy string) error {
	return rpc.NewRefusal(connect.CodeInvalidArgument, &catalog.Refusal{
		Code: CodeInvalidArgument, Field: field, Message: message, Remedy: remedy,
	})
}

func unknownService(k feed.Key) error {
	what := fmt.Sprintf("datacenter %s exports no service %s/%s", k.Datacenter, k.Namespace, k.Name)
	if k.Instance != "" {
		what = fmt.Sprintf("datacenter %s has no instance %s of service %s/%s", k.Datacenter, k.Instance, k.Namespace, k.Name)
	}
	return rpc.NewRefusal(connect.CodeNotFound, &catalog.Refusal{
		Code: CodeUnknownService, Field: "name", Message: what, Remedy: "list the services to see their names",
	})
}

func historyLost(lost *feed.LostError) error {
	return rpc.NewRefusal(connect.CodeOutOfRange, &catalog.Refusal{
		Code: CodeHistoryLost, Field: "index", Message: lost.Error(),
		Remedy: "watch again without an index, which sends the present state first",
	})
}

func indexAhead(index, have uint64) error {
	return rpc.NewRefusal(connect.CodeOutOfRange, &catalog.Refusal{
		Code: CodeIndexAhead, Field: "index",
		Message: fmt.Sprintf("the catalog has reached index %d, not yet %d", have, index),
		Remedy:  "try again with read set to lease; if that fails, the index is of another federation: watch again without an index",
	})
}

// conflictOr converts a *registrar.ConflictError.
func conflictOr(err error) error {
	conflict, ok := errors.AsType[*registrar.ConflictError](err)
	if !ok {
		return err
	}
	return rpc.NewRefusal(connect.CodeAborted, &catalog.Refusal{
		Code: CodeConflict, Field: "if_index", Message: conflict.Error(),
		Remedy: "get the instance, and write again with its modified_index",
	}, &apipb.Conflict{Index: conflict.Index})
}

func requestReused(id string) error {
	return rpc.NewRefusal(connect.CodeInvalidArgument, &catalog.Refusal{
		Code: CodeRequestReused, Field: "request_id", Message: fmt.Sprintf("another request had the id %q", catalog.Shorten(id)),
		Remedy: "use a new id for each write, such as a UUID",
	})
}

func tooSlow() error {
	return rpc.NewRefusal(connect.CodeResourceExhausted, &catalog.Refusal{
		Code: CodeTooSlow, Message: fmt.Sprintf("the program has not read the first state within %s", stateTimeout),
		Remedy: "read all messages of the state before they are processed, or select fewer services",
	})
}

func errEnded() error {
	return rpc.NewRefusal(connect.CodeUnavailable, &catalog.Refusal{
		Code: CodeEnded, Message: "meshd ends, or this gateway has left the federation",
		Remedy: "connect again, and continue from the last index",
	})
}

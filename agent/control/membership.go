package control

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"

	"connectrpc.com/connect"

	"github.com/meshway/meshway/agent/control/controlpb"
	"github.com/meshway/meshway/agent/identity"
	"github.com/meshway/meshway/agent/rpc"
	"github.com/meshway/meshway/consensus/catalog"
)

const (
	notMemberName = "not-a-member" // rpc.NameOf the error
	// indexHeader carries the index of the last command in the catalog of the
	// gateway that answers.
	indexHeader = "Meshway-Catalog-Index"
)

// NotMemberError reports that the catalog of another gateway does not contain this
// datacenter with its current CA. The datacenter was removed if that catalog is at
// least as new as one that contains it. errors.Is finds identity.ErrNotMember.
type NotMemberError struct {
	Gateway catalog.GatewayID // whose catalog it is
	Index   uint64            // of the last command in that catalog
	message string
}

// Error returns the message of the other gateway.
func (e *NotMemberError) Error() string { return fmt.Sprintf("%s: %s", e.Gateway, e.message) }

// Unwrap returns identity.ErrNotMember.
func (e *NotMemberError) Unwrap() error { return identity.ErrNotMember }

// CheckMembership calls another gateway, whose identity it verifies, and returns a
// *NotMemberError if that gateway does not accept this one as a member. After any
// other error it is unknown whether this gateway is a member.
func (c *Client) CheckMembership(ctx context.Context, with catalog.GatewayID) error {
	ctx, cancel := withDeadline(ctx, callTimeout)
	defer cancel()
	client, err := c.to(with)
	if err != nil {
		return err
	}
	// Any procedure serves: the caller is authorised before the request is read.
	_, err = client.ReadIndex(ctx, connect.NewRequest(&controlpb.ReadIndexRequest{Lease: true}))
	refused, ok := errors.AsType[*connect.Error](err)
	if !ok || rpc.NameOf(refused) != notMemberName {
		return c.explain(err)
	}
	index, err := strconv.ParseUint(refused.Meta().Get(indexHeader), 10, 64)
	if err != nil {
		return fmt.Errorf("check membership with %s: read header %s: %w", with, indexHeader, err)
	}
	return &NotMemberError{Gateway: with, Index: index, message: refused.Message()}
}

// refuseNonMember refuses a call whose caller is not a member. If the reason is
// that its datacenter is not in the catalog, the response has a name and the
// catalog's index, so that the caller can distinguish this reason from others.
func (p *Port) refuseNonMember(w http.ResponseWriter, r *http.Request, cause error) {
	refusal := connect.NewError(connect.CodePermissionDenied, cause)
	if errors.Is(cause, identity.ErrNotMember) && p.cfg.Index != nil {
		refusal = rpc.NewNamedError(connect.CodePermissionDenied, notMemberName, cause)
		refusal.Meta().Set(indexHeader, strconv.FormatUint(p.cfg.Index(), 10))
	}
	_ = connect.NewErrorWriter().Write(w, r, refusal) // the caller may be gone
}

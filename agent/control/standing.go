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
	notMemberName = "not-a-member" // of the error
	// indexHeader carries up to where the answering gateway's catalog goes.
	indexHeader = "Meshway-Catalog-Index"
)

// NotMemberError says that the catalog of another gateway does not have this
// datacenter, with this CA. It was removed if that catalog goes as far as one
// that has it. errors.Is finds identity.ErrNotMember.
type NotMemberError struct {
	By      catalog.GatewayID // who says so
	Index   uint64            // of the last command in its catalog
	message string
}

// Error is what the other gateway says.
func (e *NotMemberError) Error() string { return fmt.Sprintf("%s: %s", e.By, e.message) }

// Unwrap gives identity.ErrNotMember.
func (e *NotMemberError) Unwrap() error { return identity.ErrNotMember }

// Standing asks another gateway, which proves to be it, whether it takes this one
// for a member. A *NotMemberError is its no; other errors say nothing of it.
func (c *Client) Standing(ctx context.Context, of catalog.GatewayID) error {
	ctx, cancel := withDeadline(ctx, callTimeout)
	defer cancel()
	client, err := c.to(of)
	if err != nil {
		return err
	}
	// Any call would do: it is refused before its meaning is looked at.
	_, err = client.ReadIndex(ctx, connect.NewRequest(&controlpb.ReadIndexRequest{Lease: true}))
	refused, ok := errors.AsType[*connect.Error](err)
	if !ok || rpc.NameOf(refused) != notMemberName {
		return c.explain(err)
	}
	index, err := strconv.ParseUint(refused.Meta().Get(indexHeader), 10, 64)
	if err != nil {
		return fmt.Errorf("ask %s: read %s: %w", of, indexHeader, err)
	}
	return &NotMemberError{By: of, Index: index, message: refused.Message()}
}

// refuseStranger answers a call of one who is no member. That its datacenter is in
// the catalog no more is said so that it can be told from other reasons.
func (p *Port) refuseStranger(w http.ResponseWriter, r *http.Request, cause error) {
	refusal := connect.NewError(connect.CodePermissionDenied, cause)
	if errors.Is(cause, identity.ErrNotMember) && p.config.Index != nil {
		refusal = rpc.NewNamedError(connect.CodePermissionDenied, notMemberName, cause)
		refusal.Meta().Set(indexHeader, strconv.FormatUint(p.config.Index(), 10))
	}
	_ = connect.NewErrorWriter().Write(w, r, refusal) // the caller may be gone
}

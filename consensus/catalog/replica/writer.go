package replica

import (
	"fmt"
	"time"

	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/catalogpb"
	"github.com/meshway/meshway/consensus/catalog/replica/internal/table"
)

// writer applies the commands of one entry in one transaction.
type writer struct {
	txn     *table.Txn
	index   uint64
	now     time.Time // latest time of a command by a member in this entry, for sweep
	clients int       // in the table
}

// request is the envelope of the command being applied.
type request struct {
	author catalog.GatewayID
	member *catalog.Gateway // the author, nil if there is no such gateway
	at     time.Time
	level  uint32 // of the command
}

// command applies one command, once per sequence of its client. It returns a
// stored result before it authorizes the author, so that the author of a leave
// can retry it.
func (w *writer) command(cmd *catalogpb.Command) catalog.Result {
	if catalog.CheckSupported(cmd) != nil {
		return w.refused(&catalog.Refusal{
			Code: catalog.CodeIgnoredUnknown, Message: "this member does not support the command and ignored it",
			Remedy: "upgrade meshd on all gateways",
		})
	}
	if r := catalog.CheckEnvelope(cmd); r != nil {
		return w.refused(r)
	}
	req := request{
		author: catalog.GatewayID(cmd.GetAuthor()),
		member: gateway(w.txn, catalog.GatewayID(cmd.GetAuthor())),
		at:     cmd.GetAt().AsTime(),
		level:  cmd.GetVersion(),
	}
	c, stored, r := w.client(req, cmd)
	if stored != nil {
		return *stored
	}
	if r != nil {
		return w.refused(r)
	}
	result := w.run(req, cmd)
	if req.member != nil || gateway(w.txn, req.author) != nil {
		w.storeResult(c, req, cmd, result)
	}
	return result
}

func (w *writer) run(req request, cmd *catalogpb.Command) catalog.Result {
	result, r := w.dispatch(req, cmd)
	if r != nil {
		return w.refused(r)
	}
	w.useLevel(cmd.GetVersion())
	result.Index = w.index
	return result
}

func (w *writer) refused(r *catalog.Refusal) catalog.Result {
	return catalog.Result{Index: w.index, Refusal: r}
}

// dispatch checks that the author is a member and calls the handler of the body.
// Every handler checks everything before it writes anything, so that a refusal
// changes nothing.
func (w *writer) dispatch(req request, cmd *catalogpb.Command) (catalog.Result, *catalog.Refusal) {
	if body, ok := cmd.GetBody().(*catalogpb.Command_Init); ok {
		return w.initialize(req, body.Init)
	}
	if federation(w.txn) == nil {
		return catalog.Result{}, &catalog.Refusal{
			Code: catalog.CodeNotInitialized, Message: "there is no federation yet",
			Remedy: "create one with meshctl init, or join one with meshctl join",
		}
	}
	if body, ok := cmd.GetBody().(*catalogpb.Command_AddGateway); ok {
		return w.addGateway(req, body.AddGateway)
	}
	if req.member == nil {
		return catalog.Result{}, unknownAuthor(req.author)
	}
	switch body := cmd.GetBody().(type) {
	case *catalogpb.Command_CreateToken:
		return w.createToken(req, body.CreateToken)
	case *catalogpb.Command_RevokeToken:
		return w.revokeToken(body.RevokeToken)
	case *catalogpb.Command_Join:
		return w.join(req, body.Join)
	case *catalogpb.Command_Leave:
		return w.leave(req, body.Leave)
	case *catalogpb.Command_RemoveDatacenter:
		return w.removeDatacenter(req, cmd)
	case *catalogpb.Command_RequestRemoval:
		return w.requestRemoval(req, cmd)
	case *catalogpb.Command_UpdateDatacenter:
		return w.updateDatacenter(req, body.UpdateDatacenter)
	case *catalogpb.Command_UpdateGateway:
		return w.updateGateway(req, body.UpdateGateway)
	case *catalogpb.Command_AllowPrefixes, *catalogpb.Command_SetLimits, *catalogpb.Command_TransferLeader, *catalogpb.Command_RemovePeer:
		return w.changeSettings(req, cmd)
	case *catalogpb.Command_RemoveGateway:
		return w.removeGateway(req, body.RemoveGateway)
	case *catalogpb.Command_PutServices:
		return w.putServices(req, body.PutServices)
	case *catalogpb.Command_DeleteServices:
		return w.deleteServices(req, body.DeleteServices)
	case *catalogpb.Command_PutObservations:
		return w.putObservations(req, body.PutObservations)
	case *catalogpb.Command_PutExports:
		return w.putExports(req, body.PutExports)
	case *catalogpb.Command_DeleteExports:
		return w.deleteExports(req, body.DeleteExports)
	case *catalogpb.Command_PutEndpoints:
		return w.putEndpoints(req, body.PutEndpoints)
	case *catalogpb.Command_DeleteEndpoints:
		return w.deleteEndpoints(req, body.DeleteEndpoints)
	}
	return catalog.Result{}, catalog.Malformed("body", "the command has no handler in this version of meshd")
}

func unknownAuthor(author catalog.GatewayID) *catalog.Refusal {
	return &catalog.Refusal{
		Code: catalog.CodeUnknownAuthor, Message: fmt.Sprintf("%q is not a gateway of the federation", catalog.Shorten(string(author))),
		Remedy: "join the federation with meshctl join",
	}
}

// checkOwner refuses a write to records of a datacenter other than the author's.
func (req request) checkOwner(field string, dc catalog.DatacenterName) *catalog.Refusal {
	if dc == req.member.Datacenter {
		return nil
	}
	return &catalog.Refusal{
		Code: catalog.CodeNotOwner, Field: field,
		Message: fmt.Sprintf("gateway %s of datacenter %q cannot change datacenter %q", req.author, req.member.Datacenter, catalog.Shorten(string(dc))),
		Remedy:  fmt.Sprintf("run the command on a gateway of %s", catalog.Shorten(string(dc))),
	}
}

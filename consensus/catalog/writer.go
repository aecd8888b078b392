package catalog

import (
	"fmt"
	"time"

	"github.com/hashicorp/go-memdb"
	"google.golang.org/protobuf/proto"

	"github.com/meshway/meshway/consensus/catalog/catalogpb"
)

// MaxCommandSize bounds the encoded size of one command, in bytes. Several
// commands share one log entry, which should be smaller than 512 KiB
// (SuggestedMaxDataSize of hashicorp/raft).
const MaxCommandSize = 64 << 10

// MaxClockSkew is how far a proposer's clock may differ from the leader's. It is
// bounded because tokens and clients expire by the time of the commands.
const MaxClockSkew = 10 * time.Minute

// checkEnvelope checks the fields of cmd other than its body.
func checkEnvelope(cmd *catalogpb.Command) *Refusal {
	if size := proto.Size(cmd); size > MaxCommandSize {
		return &Refusal{
			Code: CodeTooLarge, Message: fmt.Sprintf("the command has %d bytes, the maximum is %d", size, MaxCommandSize),
			Remedy: "split it into several commands",
		}
	}
	if cmd.GetAt() == nil || !cmd.GetAt().IsValid() {
		return malformed("at", "the time of the command is missing or invalid")
	}
	client := cmd.GetClient()
	isText := onlyBytes(client, func(c byte) bool { return ' ' < c && c < 0x7f })
	switch {
	case len(client) > maxClientLength || !isText:
		return malformed("client", fmt.Sprintf("the client id is longer than %d bytes or not printable", maxClientLength))
	case (client == "") != (cmd.GetSequence() == 0):
		return malformed("sequence", "client and sequence must be set together")
	case cmd.GetSequence() > 0 && cmd.GetAcknowledged() >= cmd.GetSequence():
		return malformed("acknowledged", "a command cannot acknowledge its own result")
	}
	return nil
}

// writer applies the commands of one entry in one transaction.
type writer struct {
	txn     *memdb.Txn
	index   uint64
	now     time.Time // latest time of a command by a member in this entry, for sweep
	clients int       // in the table
}

// request is the envelope of the command being applied.
type request struct {
	author GatewayID
	member *Gateway // the author, nil if there is no such gateway
	at     time.Time
}

// command applies one command, once per sequence of its client. It returns a
// stored result before it authorizes the author, so that the author of a leave
// can retry it.
func (w *writer) command(cmd *catalogpb.Command) Result {
	if checkSupported(cmd) != nil {
		return w.refused(&Refusal{
			Code: CodeIgnoredUnknown, Message: "this member does not support the command and ignored it",
			Remedy: "upgrade meshd on all gateways",
		})
	}
	if r := checkEnvelope(cmd); r != nil {
		return w.refused(r)
	}
	req := request{
		author: GatewayID(cmd.GetAuthor()),
		member: gateway(w.txn, GatewayID(cmd.GetAuthor())),
		at:     cmd.GetAt().AsTime(),
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

func (w *writer) run(req request, cmd *catalogpb.Command) Result {
	result, r := w.dispatch(req, cmd)
	if r != nil {
		return w.refused(r)
	}
	result.Index = w.index
	return result
}

func (w *writer) refused(r *Refusal) Result {
	return Result{Index: w.index, Refusal: r}
}

// dispatch checks that the author is a member and calls the handler of the body.
// Every handler checks everything before it writes anything, so that a refusal
// changes nothing.
func (w *writer) dispatch(req request, cmd *catalogpb.Command) (Result, *Refusal) {
	if body, ok := cmd.GetBody().(*catalogpb.Command_Init); ok {
		return w.initialize(req, body.Init)
	}
	if federation(w.txn) == nil {
		return Result{}, &Refusal{
			Code: CodeNotInitialized, Message: "there is no federation yet",
			Remedy: "create one with meshctl init, or join one with meshctl join",
		}
	}
	if body, ok := cmd.GetBody().(*catalogpb.Command_AddGateway); ok {
		return w.addGateway(req, body.AddGateway)
	}
	if req.member == nil {
		return Result{}, unknownAuthor(req.author)
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
		return w.removeDatacenter(req, body.RemoveDatacenter)
	case *catalogpb.Command_UpdateDatacenter:
		return w.updateDatacenter(req, body.UpdateDatacenter)
	case *catalogpb.Command_UpdateGateway:
		return w.updateGateway(req, body.UpdateGateway)
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
	return Result{}, malformed("body", "the command has no handler in this version of meshd")
}

func unknownAuthor(author GatewayID) *Refusal {
	return &Refusal{
		Code: CodeUnknownAuthor, Message: fmt.Sprintf("%q is not a gateway of the federation", shorten(string(author))),
		Remedy: "join the federation with meshctl join",
	}
}

// checkOwner refuses a write to records of a datacenter other than the author's.
func (req request) checkOwner(field string, dc DatacenterName) *Refusal {
	if dc == req.member.Datacenter {
		return nil
	}
	return &Refusal{
		Code: CodeNotOwner, Field: field,
		Message: fmt.Sprintf("gateway %s of datacenter %q cannot change datacenter %q", req.author, req.member.Datacenter, shorten(string(dc))),
		Remedy:  fmt.Sprintf("run the command on a gateway of %s", shorten(string(dc))),
	}
}

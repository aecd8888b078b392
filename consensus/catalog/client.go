package catalog

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/meshway/meshway/consensus/catalog/catalogpb"
)

// Bounds of the results that are kept so that a retried command is applied once.
const (
	// MaxOutstanding is how many unacknowledged results a client may have.
	MaxOutstanding = 1024

	// clientRetention, in command time, is how long the results of an idle
	// client are kept; a later retry is applied again.
	clientRetention = 24 * time.Hour

	// maxClients bounds the number of clients; the one that has been idle
	// longest is removed first.
	maxClients = 4096
)

// client is one source of command sequences, with the results that it may still
// retrieve by a retry. Clients belong to one author, so that no member can use up
// the sequences of another.
type client struct {
	Author       GatewayID
	ID           string
	Acknowledged uint64
	LastSeen     time.Time
	Results      []storedResult // by sequence
}

// storedResult is what is kept of a Result. It has no records: a retry returns
// those of the catalog at that time, so that the results of a client stay small.
type storedResult struct {
	Sequence uint64
	Index    uint64
	Refusal  *Refusal // not changed once stored
}

func bySequence(r storedResult, sequence uint64) int { return cmp.Compare(r.Sequence, sequence) }

// client compares cmd with the earlier commands of its client. It returns the
// stored result of a retry, a refusal, or the record of the client. A command
// without a client has none of these and is applied every time it arrives.
func (w *writer) client(req request, cmd *catalogpb.Command) (*client, *Result, *Refusal) {
	if cmd.GetClient() == "" {
		return nil, nil, nil
	}
	c := first[client](w.txn, tableClients, indexID, string(req.author), cmd.GetClient())
	if c == nil {
		return &client{Author: req.author, ID: cmd.GetClient()}, nil, nil
	}
	if i, found := slices.BinarySearchFunc(c.Results, cmd.GetSequence(), bySequence); found {
		return nil, w.storedResult(c.Results[i], cmd), nil
	}
	if cmd.GetSequence() <= c.Acknowledged {
		return nil, nil, &Refusal{
			Code: CodeStaleSequence, Field: "sequence",
			Message: fmt.Sprintf("the result of sequence %d was acknowledged and has been deleted", cmd.GetSequence()),
			Remedy:  "read the current state of the catalog",
		}
	}
	if len(c.unacknowledged(cmd.GetAcknowledged())) >= MaxOutstanding {
		return nil, nil, &Refusal{
			Code: CodeClientBacklog, Field: "acknowledged",
			Message: fmt.Sprintf("%d results have not been acknowledged", len(c.Results)),
			Remedy:  "wait for the writes in progress, then try again",
		}
	}
	return c, nil, nil
}

func (c *client) unacknowledged(acknowledged uint64) []storedResult {
	i, found := slices.BinarySearchFunc(c.Results, acknowledged, bySequence)
	if found {
		i++
	}
	return c.Results[i:]
}

// storeResult stores the result of cmd and the time at which its client was last
// seen. A nil c stores only the time of the command, for sweep.
func (w *writer) storeResult(c *client, req request, cmd *catalogpb.Command, result Result) {
	if req.at.After(w.now) {
		w.now = req.at
	}
	if c == nil {
		return
	}
	next := &client{
		Author: c.Author, ID: c.ID,
		Acknowledged: max(c.Acknowledged, cmd.GetAcknowledged()),
		LastSeen:     latest(c.LastSeen, req.at),
	}
	next.Results = slices.Clone(c.unacknowledged(next.Acknowledged))
	i, _ := slices.BinarySearchFunc(next.Results, cmd.GetSequence(), bySequence)
	stored := storedResult{Sequence: cmd.GetSequence(), Index: result.Index, Refusal: result.Refusal.clip()}
	next.Results = slices.Insert(next.Results, i, stored)
	if c.LastSeen.IsZero() {
		w.evictClients()
		w.clients++
	}
	insert(w.txn, tableClients, next)
}

// storedResult returns the result of a retry of cmd, with the records as they are.
func (w *writer) storedResult(stored storedResult, cmd *catalogpb.Command) *Result {
	r := &Result{Index: stored.Index}
	if stored.Refusal != nil {
		r.Refusal = stored.Refusal.clip()
		return r
	}
	name, id := recordsOf(cmd)
	if dc := datacenter(w.txn, name); dc != nil {
		r.Datacenter = dc.Clone()
	}
	if g := gateway(w.txn, id); g != nil {
		r.Gateway = g.Clone()
	}
	return r
}

// recordsOf returns the datacenter and the gateway that the result of cmd contains;
// empty if it does not.
func recordsOf(cmd *catalogpb.Command) (dc DatacenterName, g GatewayID) {
	var d *catalogpb.Datacenter
	var p *catalogpb.Gateway
	switch body := cmd.GetBody().(type) {
	case *catalogpb.Command_Init:
		d, p = body.Init.GetDatacenter(), body.Init.GetGateway()
	case *catalogpb.Command_Join:
		d, p = body.Join.GetDatacenter(), body.Join.GetGateway()
	case *catalogpb.Command_UpdateDatacenter:
		d = body.UpdateDatacenter.GetDatacenter()
	case *catalogpb.Command_AddGateway:
		p = body.AddGateway.GetGateway()
	case *catalogpb.Command_UpdateGateway:
		p = body.UpdateGateway.GetGateway()
	}
	dc = DatacenterName(d.GetName())
	if p == nil {
		return dc, ""
	}
	of := DatacenterName(p.GetDatacenter())
	if of == "" {
		of = dc // in Init and Join
	}
	return dc, NewGatewayID(of, p.GetName())
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// evictClients removes idle clients until there is room for one more. Limits keep
// a datacenter from removing those of others so.
func (w *writer) evictClients() {
	for c := range each[client](w.txn, tableClients, indexSeen) {
		if w.clients < maxClients {
			return
		}
		w.removeClient(c)
	}
}

func (w *writer) removeClient(c *client) {
	remove(w.txn, tableClients, c)
	w.clients--
}

// sweep deletes clients and tokens that are past their retention. It uses the
// time of the commands, which is the same on every member.
func (w *writer) sweep() {
	if w.now.IsZero() {
		return
	}
	for c := range each[client](w.txn, tableClients, indexSeen) {
		if w.now.Sub(c.LastSeen) <= clientRetention {
			break
		}
		w.removeClient(c)
	}
	for t := range each[Token](w.txn, tableTokens, indexExpires) {
		if w.now.Sub(t.ExpiresAt) <= tokenRetention {
			break
		}
		remove(w.txn, tableTokens, t)
	}
}

func clientProto(c *client) *catalogpb.Client {
	p := &catalogpb.Client{
		Id: c.ID, Author: string(c.Author), Acknowledged: c.Acknowledged, LastSeen: timeProto(c.LastSeen),
		Results: make(map[uint64]*catalogpb.StoredResult, len(c.Results)),
	}
	for _, r := range c.Results {
		p.Results[r.Sequence] = &catalogpb.StoredResult{Index: r.Index, Refusal: r.Refusal.Proto()}
	}
	return p
}

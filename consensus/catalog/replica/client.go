package replica

import (
	"fmt"
	"time"

	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/catalogpb"
	"github.com/meshway/meshway/consensus/catalog/quota"
)

// clientRetention, in command time, is how long the results of an idle client are kept, so
// that a retried command is applied once; a later retry is applied again. quota.MaxClients
// bounds the number of clients.
const clientRetention = 24 * time.Hour

// client compares cmd with the earlier commands of its client. It returns the
// stored result of a retry, a refusal, or the record of the client. A command
// without a client has none of these and is applied every time it arrives.
func (w *writer) client(req request, cmd *catalogpb.Command) (*catalog.Client, *catalog.Result, *catalog.Refusal) {
	if cmd.GetClient() == "" {
		return nil, nil, nil
	}
	c := first[catalog.Client](w.txn, tableClients, indexID, string(req.author), cmd.GetClient())
	if c == nil {
		return &catalog.Client{Author: req.author, ID: cmd.GetClient()}, nil, nil
	}
	if stored, found := c.Result(cmd.GetSequence()); found {
		return nil, w.storedResult(stored, cmd), nil
	}
	if cmd.GetSequence() <= c.Acknowledged {
		return nil, nil, &catalog.Refusal{
			Code: catalog.CodeStaleSequence, Field: "sequence",
			Message: fmt.Sprintf("the result of sequence %d was acknowledged and has been deleted", cmd.GetSequence()),
			Remedy:  "read the current state of the catalog",
		}
	}
	if len(c.Unacknowledged(cmd.GetAcknowledged())) >= catalog.MaxOutstanding {
		return nil, nil, &catalog.Refusal{
			Code: catalog.CodeClientBacklog, Field: "acknowledged",
			Message: fmt.Sprintf("%d results have not been acknowledged", len(c.Results)),
			Remedy:  "wait for the writes in progress, then try again",
		}
	}
	return c, nil, nil
}

// storeResult stores the result of cmd and the time at which its client was last
// seen. A nil c stores only the time of the command, for sweep.
func (w *writer) storeResult(c *catalog.Client, req request, cmd *catalogpb.Command, result catalog.Result) {
	if req.at.After(w.now) {
		w.now = req.at
	}
	if c == nil {
		return
	}
	next := c.With(catalog.NewStoredResult(cmd.GetSequence(), result), cmd.GetAcknowledged(), req.at)
	if c.LastSeen.IsZero() {
		w.evictClients()
		w.clients++
	}
	insert(w.txn, tableClients, next)
}

// storedResult returns the result of a retry of cmd, with the records as they are.
func (w *writer) storedResult(stored catalog.StoredResult, cmd *catalogpb.Command) *catalog.Result {
	r := stored.Result()
	if r.Refusal != nil {
		return &r
	}
	name, id := recordsOf(cmd)
	if dc := datacenter(w.txn, name); dc != nil {
		r.Datacenter = dc.Clone()
	}
	if g := gateway(w.txn, id); g != nil {
		r.Gateway = g.Clone()
	}
	return &r
}

// recordsOf returns the datacenter and the gateway that the result of cmd contains;
// empty if it does not.
func recordsOf(cmd *catalogpb.Command) (dc catalog.DatacenterName, g catalog.GatewayID) {
	d, p := catalog.Records(cmd)
	dc = catalog.DatacenterName(d.GetName())
	if p == nil {
		return dc, ""
	}
	of := catalog.DatacenterName(p.GetDatacenter())
	if of == "" {
		of = dc // in Init and Join
	}
	return dc, catalog.NewGatewayID(of, p.GetName())
}

// evictClients removes idle clients until there is room for one more. A leader that judges
// what it writes lets no datacenter, and none that one has invited, remove those of others so:
// see quota.CheckShared.
func (w *writer) evictClients() {
	for c := range each[catalog.Client](w.txn, tableClients, indexSeen) {
		if w.clients < quota.MaxClients {
			return
		}
		w.removeClient(c)
	}
}

func (w *writer) removeClient(c *catalog.Client) {
	remove(w.txn, tableClients, c)
	w.clients--
}

// sweep deletes clients and tokens that are past their retention. It uses the
// time of the commands, which is the same on every member.
func (w *writer) sweep() {
	if w.now.IsZero() {
		return
	}
	for c := range each[catalog.Client](w.txn, tableClients, indexSeen) {
		if w.now.Sub(c.LastSeen) <= clientRetention {
			break
		}
		w.removeClient(c)
	}
	for t := range each[catalog.Token](w.txn, tableTokens, indexExpires) {
		if w.now.Sub(t.ExpiresAt) <= tokenRetention {
			break
		}
		remove(w.txn, tableTokens, t)
	}
}

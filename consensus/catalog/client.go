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

type storedResult struct {
	Sequence uint64
	Result   *Result // not changed once stored
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
		return nil, c.Results[i].Result, nil
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
	stored := result.clone()
	next.Results = slices.Insert(next.Results, i, storedResult{cmd.GetSequence(), &stored})
	if c.LastSeen.IsZero() {
		w.evictClients()
	}
	insert(w.txn, tableClients, next)
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// evictClients removes idle clients until there is room for one more.
func (w *writer) evictClients() {
	count := 0
	for range each[client](w.txn, tableClients, indexID) {
		count++
	}
	for c := range each[client](w.txn, tableClients, indexSeen) {
		if count < maxClients {
			return
		}
		remove(w.txn, tableClients, c)
		count--
	}
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
		remove(w.txn, tableClients, c)
	}
	for t := range each[Token](w.txn, tableTokens, indexExpires) {
		if w.now.Sub(t.ExpiresAt) <= tokenRetention {
			break
		}
		remove(w.txn, tableTokens, t)
	}
}

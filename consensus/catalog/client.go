package catalog

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/meshway/meshway/consensus/catalog/catalogpb"
)

// Bounds of what is kept so that a retried command is applied once.
const (
	// MaxOutstanding is how many results a client may have unacknowledged.
	MaxOutstanding = 1024

	// clientLifetime, in command time, is how long an idle client is
	// remembered; a retry after it would be applied again.
	clientLifetime = 24 * time.Hour

	// maxClients bounds the memory for clients; the one that was silent for the
	// longest goes first.
	maxClients = 4096
)

// client is one source of sequences and the results that it may ask for again.
// Authors have their own, so that no member can spend the sequences of another.
type client struct {
	Author       GatewayID
	ID           string
	Acknowledged uint64
	LastSeen     time.Time
	Answers      []answer // by sequence
}

type answer struct {
	Sequence uint64
	Result   Result
}

func bySequence(a answer, sequence uint64) int { return cmp.Compare(a.Sequence, sequence) }

// client finds how cmd stands to what its client sent before: a stored result,
// a refusal, or the client's record to go on with. Commands without a client are
// applied as often as they come.
func (w *writer) client(req request, cmd *catalogpb.Command) (*client, *Result, *Refusal) {
	if cmd.GetClient() == "" {
		return nil, nil, nil
	}
	c := first[client](w.txn, tableClients, indexID, string(req.author), cmd.GetClient())
	if c == nil {
		return &client{Author: req.author, ID: cmd.GetClient()}, nil, nil
	}
	if i, found := slices.BinarySearchFunc(c.Answers, cmd.GetSequence(), bySequence); found {
		return nil, &c.Answers[i].Result, nil
	}
	if cmd.GetSequence() <= c.Acknowledged {
		return nil, nil, &Refusal{
			Code: CodeStaleSequence, Field: "sequence",
			Message: fmt.Sprintf("the result of %d was acknowledged and is forgotten", cmd.GetSequence()),
			Remedy:  "read the catalog to see what holds",
		}
	}
	if len(c.unacknowledged(cmd.GetAcknowledged())) >= MaxOutstanding {
		return nil, nil, &Refusal{
			Code: CodeClientBacklog, Field: "acknowledged",
			Message: fmt.Sprintf("%d results are waiting to be acknowledged", len(c.Answers)),
			Remedy:  "wait for the writes under way, then try again",
		}
	}
	return c, nil, nil
}

func (c *client) unacknowledged(acknowledged uint64) []answer {
	i, found := slices.BinarySearchFunc(c.Answers, acknowledged, bySequence)
	if found {
		i++
	}
	return c.Answers[i:]
}

// remember stores the result of cmd and that its client lives.
func (w *writer) remember(c *client, req request, cmd *catalogpb.Command, result Result) {
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
	next.Answers = slices.Clone(c.unacknowledged(next.Acknowledged))
	i, _ := slices.BinarySearchFunc(next.Answers, cmd.GetSequence(), bySequence)
	next.Answers = slices.Insert(next.Answers, i, answer{cmd.GetSequence(), result.clone()})
	if c.LastSeen.IsZero() {
		w.makeRoomForClient()
	}
	insert(w.txn, tableClients, next)
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func (w *writer) makeRoomForClient() {
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

// sweep forgets clients and tokens whose time is over. It goes by the time of
// the commands: every member has the same.
func (w *writer) sweep() {
	if w.now.IsZero() {
		return
	}
	for c := range each[client](w.txn, tableClients, indexSeen) {
		if w.now.Sub(c.LastSeen) <= clientLifetime {
			break
		}
		remove(w.txn, tableClients, c)
	}
	for t := range each[Token](w.txn, tableTokens, indexExpires) {
		if w.now.Sub(t.ExpiresAt) <= tokenMemory {
			break
		}
		remove(w.txn, tableTokens, t)
	}
}

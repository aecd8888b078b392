package catalog

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/meshway/meshway/consensus/catalog/catalogpb"
)

// MaxOutstanding is how many unacknowledged results a client may have.
const MaxOutstanding = 1024

// Client is one source of command sequences, with the results that it may still
// retrieve by a retry. Clients belong to one author, so that no member can use up
// the sequences of another.
type Client struct {
	Author       GatewayID
	ID           string
	Acknowledged uint64
	LastSeen     time.Time
	Results      []StoredResult // by sequence
}

// StoredResult is what is kept of a Result. It has no records: a retry returns
// those of the catalog at that time, so that the results of a client stay small.
type StoredResult struct {
	Sequence uint64
	Index    uint64
	Refusal  *Refusal // not changed once stored
}

// NewStoredResult returns what is kept of the result of a command with sequence. The
// texts of its refusal have a bounded length.
func NewStoredResult(sequence uint64, r Result) StoredResult {
	return StoredResult{Sequence: sequence, Index: r.Index, Refusal: r.Refusal.clip()}
}

// Result returns the result that a retry gets, without records.
func (r StoredResult) Result() Result {
	return Result{Index: r.Index, Refusal: r.Refusal.clip()}
}

func bySequence(r StoredResult, sequence uint64) int { return cmp.Compare(r.Sequence, sequence) }

// Result returns the stored result of sequence, false if there is none.
func (c *Client) Result(sequence uint64) (StoredResult, bool) {
	if i, found := slices.BinarySearchFunc(c.Results, sequence, bySequence); found {
		return c.Results[i], true
	}
	return StoredResult{}, false
}

// Unacknowledged returns the results after the sequence acknowledged. It shares
// memory with c.
func (c *Client) Unacknowledged(acknowledged uint64) []StoredResult {
	i, found := slices.BinarySearchFunc(c.Results, acknowledged, bySequence)
	if found {
		i++
	}
	return c.Results[i:]
}

// With returns c with one more result, and without those up to the sequence
// acknowledged.
func (c *Client) With(r StoredResult, acknowledged uint64, seen time.Time) *Client {
	next := &Client{
		Author: c.Author, ID: c.ID, Acknowledged: max(c.Acknowledged, acknowledged), LastSeen: c.LastSeen,
	}
	if seen.After(c.LastSeen) {
		next.LastSeen = seen
	}
	kept := c.Unacknowledged(next.Acknowledged)
	i, _ := slices.BinarySearchFunc(kept, r.Sequence, bySequence)
	next.Results = make([]StoredResult, 0, len(kept)+1)
	next.Results = append(append(append(next.Results, kept[:i]...), r), kept[i:]...)
	return next
}

// Proto returns the wire form.
func (c *Client) Proto() *catalogpb.Client {
	p := &catalogpb.Client{
		Id: c.ID, Author: string(c.Author), Acknowledged: c.Acknowledged, LastSeen: timeProto(c.LastSeen),
		Results: make(map[uint64]*catalogpb.StoredResult, len(c.Results)),
	}
	for _, r := range c.Results {
		p.Results[r.Sequence] = &catalogpb.StoredResult{Index: r.Index, Refusal: r.Refusal.Proto()}
	}
	return p
}

// ClientFromProto parses the wire form.
func ClientFromProto(p *catalogpb.Client) (*Client, error) {
	var read fieldReader
	c := &Client{
		Author: GatewayID(p.GetAuthor()), ID: p.GetId(), Acknowledged: p.GetAcknowledged(),
		LastSeen: read.time("last_seen", p.GetLastSeen()),
	}
	if read.refusal != nil {
		return nil, read.refusal
	}
	for _, sequence := range slices.Sorted(maps.Keys(p.GetResults())) {
		result := p.GetResults()[sequence]
		c.Results = append(c.Results, NewStoredResult(sequence, Result{
			Index: result.GetIndex(), Refusal: RefusalFromProto(result.GetRefusal()),
		}))
	}
	return c, nil
}

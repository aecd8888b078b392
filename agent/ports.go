package agent

import (
	"context"
	"net/netip"
	"time"

	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/agent/status"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/catalogpb"
	"github.com/meshway/meshway/tunnel"
)

// Membership is what a gateway has to remember of the federation that it is in.
type Membership struct {
	FederationID   string
	FederationName string
	Overlay        netip.Addr // of this gateway
}

// Founding is what a new federation starts from.
type Founding struct {
	Name    string
	Overlay netip.Prefix // zero: a random ULA /48 (RFC 4193)
}

// Candidate is what a datacenter brings along when it founds or joins a federation.
type Candidate struct {
	Prefixes []catalog.Prefix
	Gateway  catalog.Gateway // name, public key, endpoints, controls, version
}

// Federations makes this gateway a member of a federation and remembers it.
type Federations interface {
	// Current returns the federation that this gateway is in; false: in none.
	Current() (Membership, bool, error)
	// Found makes a new federation of this datacenter alone.
	Found(ctx context.Context, founding Founding, candidate Candidate) error
	// Join has this datacenter admitted by the federation of the token. A
	// refusal is a *catalog.Refusal and changes nothing on either side.
	Join(ctx context.Context, token string, candidate Candidate, progress func(step, message string)) error
	// Open returns the federation that this gateway is in, not running yet.
	Open() (Federation, error)
	// Forget drops the membership and the local copy of the catalog.
	Forget() error
	Enrolment
}

// Enrolment makes this gateway one of a datacenter that is a member already.
type Enrolment interface {
	// Authority returns the CA of this datacenter; the first call makes it.
	Authority() (certificate []byte, key CAKey, err error)
	// Adopt takes the CA that the gateways have in common, or says ErrFormerName.
	Adopt(common Common) error
	// Enrol has this gateway taken in by one of the contacts. A refusal is a
	// *catalog.Refusal.
	Enrol(ctx context.Context, common Common, candidate Candidate, progress func(step, message string)) error
	// Known asks the contacts whether the catalog has this gateway.
	Known(ctx context.Context, common Common) (bool, error)
}

// Federation is the running membership: this gateway's part of the catalog.
type Federation interface {
	// Run takes part in the catalog and serves the control port until ctx ends.
	Run(ctx context.Context) error
	// View returns the newest state that is known here: also right after a
	// start without quorum, when it is the one that was saved last.
	View() *catalog.View
	// Changed is closed at the next change of View after this call.
	Changed() <-chan struct{}
	// Propose writes to the catalog through its leader. errors.Is(err,
	// ErrNoLeader) when none was found in time: nothing was written.
	Propose(ctx context.Context, commands ...*catalogpb.Command) ([]catalog.Result, error)
	// Read returns a view that is as current as mode demands.
	Read(ctx context.Context, mode ReadMode) (*catalog.View, Freshness, error)
	// Common is what the gateways of this datacenter should have in common, as
	// View says; false: it does not have the datacenter.
	Common() (Common, bool, error)
	// Consensus reports the state of raft.
	Consensus() status.Consensus
	// Certificate returns when this gateway's certificate ends.
	Certificate() time.Time
	// Tune adapts the timers of consensus to the slowest round trip between
	// gateways that was measured.
	Tune(slowest time.Duration)
	// Leave tells the federation that this datacenter is no longer a member of it.
	Leave(ctx context.Context) error
	// Withdraw hands over what this gateway does for others, after its
	// datacenter has left; it returns when that is done.
	Withdraw(ctx context.Context) error

	// Expelled asks gateways of other datacenters whether this one was removed
	// from the catalog, and returns who says so; empty: nobody.
	Expelled(ctx context.Context) catalog.GatewayID

	CreateToken(ctx context.Context, datacenter catalog.DatacenterName, ttl time.Duration) (NewToken, error)
	TransferLeader(ctx context.Context, to catalog.GatewayID) error
	RemovePeer(ctx context.Context, id catalog.GatewayID) error
	SaveSnapshot(ctx context.Context, mode ReadMode) (archive []byte, index uint64, err error)
	Restore(ctx context.Context, archive []byte) (index uint64, err error)
}

// ReadMode says how current a read must be.
type ReadMode int

// The read modes.
const (
	LeaseRead      ReadMode = iota // of a leader that has its lease: the default
	StaleRead                      // of the local copy, with its age
	ConsistentRead                 // linearizable: a quorum confirms the leader
)

// Freshness says how current an answer is.
type Freshness struct {
	Index       uint64
	Leader      catalog.GatewayID // empty: none known
	LastContact time.Duration     // since the leader was heard; 0 on the leader
}

// NewToken is a join token with its secret, shown once.
type NewToken struct {
	Text      string
	ID        string
	ExpiresAt time.Time
	Endpoints []string
}

// Liveness keeps a session with each remote gateway through its tunnel.
type Liveness interface {
	Run(ctx context.Context) error
	Set(sessions []plan.SessionConfig)
	Sessions() []plan.Session
	// Overdue gives again and again while what Activity tells would count: a
	// session waits for a packet of its own that is overdue.
	Overdue() <-chan struct{}
	// Activity tells how many bytes have come from a peer: any authenticated
	// packet counts as life.
	Activity(key tunnel.PublicKey, receivedBytes uint64)
	// Drain asks all peers to send nothing more to this gateway, or to send
	// again. It may be asked for again and again.
	Drain(on bool)
	Changed() <-chan struct{}
}

// Drains remembers over restarts that this gateway is drained.
type Drains interface {
	// Load tells whether it is, and until when; zero: until Clear.
	Load() (until time.Time, drained bool, err error)
	Save(until time.Time) error
	// Clear forgets it; not being drained is no error.
	Clear() error
}

// Probes ask the gateways of this datacenter whether they live.
type Probes interface {
	Run(ctx context.Context) error
	Set(sessions []plan.SessionConfig)
	Sessions() []plan.Session
	Changed() <-chan struct{}
}

// Site knows what this datacenter owns: from the configuration, or from its
// cluster.
type Site interface {
	// Current returns what is known now; also right after a start.
	Current() plan.Site
	// Changed is closed at the next change of Current after this call.
	Changed() <-chan struct{}
}

// Inventory tells a node what it has to know of the federation, which it takes
// no part in.
type Inventory interface {
	// Current returns what is known now; false: not complete yet.
	Current() (plan.Inventory, bool)
	// Changed is closed at the next change of Current after this call.
	Changed() <-chan struct{}
}

// Host looks at this host's own addresses and links.
type Host interface {
	Observe(ctx context.Context) (plan.Host, error)
	// Resolve returns the addresses of a host name, or the address that it is.
	Resolve(ctx context.Context, host string) ([]netip.Addr, error)
}

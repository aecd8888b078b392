package trust

import (
	"slices"
	"sync"
	"time"

	"github.com/meshway/meshway/agent/identity"
	"github.com/meshway/meshway/agent/notify"
	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/consensus/catalog"
)

// Store keeps the ledger over restarts.
type Store interface {
	// Load returns found false, and no error, if nothing is stored.
	Load() (ledger Ledger, found bool, err error)
	// Save replaces the stored ledger.
	Save(ledger Ledger) error
}

// Authenticator verifies the records of the catalog against the ledger of one gateway,
// and signs those of the gateway. It is safe for concurrent use.
type Authenticator struct {
	store     Store
	certifier *identity.Certifier
	changed   notify.Broadcast // the verdict may differ although the catalog does not

	mu      sync.Mutex // guards the following fields
	ledger  Ledger
	dirty   bool // the stored ledger is older
	verdict Verdict
	since   map[Finding]time.Time // first seen; without detail
	signed  map[catalog.GatewayID]catalog.Signature
	issuer  identity.Pin                            // of the CA that signed them
	issued  map[catalog.GatewayID]catalog.Signature // the newest of this process; it may be in no catalog that was verified
}

// Open returns the authenticator of the gateway and the federation of a certifier. Another
// CA than the certifier's is never accepted for the gateway's own datacenter.
func Open(store Store, certifier *identity.Certifier) (*Authenticator, error) {
	ledger, found, err := store.Load()
	if err != nil {
		return nil, err
	}
	if federation := certifier.Federation(); !found || ledger.FederationID != federation {
		ledger = Ledger{FederationID: federation}
	}
	ledger = ledger.withOwnCA(certifier.CA())
	return &Authenticator{
		store: store, certifier: certifier, ledger: ledger,
		since: map[Finding]time.Time{}, signed: map[catalog.GatewayID]catalog.Signature{}, issued: map[catalog.GatewayID]catalog.Signature{},
	}, nil
}

// Verify returns what the plan may use of the catalog, and the records that were not
// accepted or are not signed. It costs next to nothing while the index stays.
func (a *Authenticator) Verify(have plan.Catalog, now time.Time) (plan.Catalog, []plan.Problem) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.verdict.Catalog.Index != have.Index || have.Index == 0 {
		a.verdict = Judge(a.certifier.Self().ID(), a.ledger, have)
		if !sameCAs(a.ledger, a.verdict.Ledger) {
			defer a.changed.Notify() // the control port closes connections of a retired CA
		}
		a.ledger, a.dirty = a.verdict.Ledger, a.dirty || a.verdict.Changed
	}
	return a.verdict.Catalog, a.problems(now)
}

// Changed returns a channel that is closed at the next change of what Verify returns
// for the same catalog.
func (a *Authenticator) Changed() <-chan struct{} { return a.changed.Changed() }

// Save stores the ledger if it has changed.
func (a *Authenticator) Save() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.dirty {
		return nil
	}
	if err := a.store.Save(a.ledger); err != nil {
		return err
	}
	a.dirty = false
	return nil
}

// grace is how long a finding lasts before it is a problem. A gateway that was just
// admitted signs its record after the catalog has assigned its address.
func (f Finding) grace() time.Duration {
	switch f.Kind {
	case SignatureMissing:
		return 10 * time.Second
	case Unsigned:
		return time.Minute
	case CAUnknown:
		return time.Minute // siblings receive the key from the shared state
	case PinBroken, SignatureInvalid, SignatureOutdated, RecordConflict, FederationChanged:
	}
	return 0
}

// problems returns those of the findings that have lasted.
func (a *Authenticator) problems(now time.Time) []plan.Problem {
	since := map[Finding]time.Time{}
	var problems []plan.Problem
	for _, f := range a.verdict.Findings {
		key := f
		key.Detail = ""
		first, known := a.since[key]
		if !known {
			first = now
		}
		since[key] = first
		if now.Sub(first) >= f.grace() {
			problems = append(problems, f.problem(a.ledger.Datacenters[f.Datacenter].Pin.String()))
		}
	}
	a.since = since
	return problems
}

// CAs returns the CAs of a datacenter that are trusted, given the one in the catalog
// (all DER).
func (a *Authenticator) CAs(dc catalog.DatacenterName, der []byte) [][]byte {
	a.mu.Lock()
	defer a.mu.Unlock()
	is, known := a.ledger.Datacenters[dc]
	switch {
	case !known:
		return [][]byte{der} // first sight
	case is.Record != nil:
		return trusted(is, slices.Clone(is.Record.CACertificate))
	}
	if pin, err := identity.PinOf(der); err != nil || pin != is.Pin {
		return nil
	}
	return trusted(is, der)
}

// Ledger returns what is remembered.
func (a *Authenticator) Ledger() Ledger {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.ledger
}

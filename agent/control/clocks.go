package control

import (
	"cmp"
	"crypto/x509"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/meshway/meshway/agent/identity"
	"github.com/meshway/meshway/consensus/catalog"
)

// ClockDifference is that a member's certificate was refused because of its dates.
type ClockDifference struct {
	Gateway             catalog.GatewayID
	NotBefore, NotAfter time.Time
	At                  time.Time // of the refusal, by the clock of this host
}

// differenceFor is how long a refusal counts. Gateways try again within a minute.
const differenceFor = 10 * time.Minute

// clocks has the last refusal of each member, which bounds it.
type clocks struct {
	mu        sync.Mutex // guards the following field
	different map[catalog.GatewayID]ClockDifference
}

func newClocks() *clocks { return &clocks{different: map[catalog.GatewayID]ClockDifference{}} }

// agrees removes a refusal: the certificate of the gateway is valid now.
func (c *clocks) agrees(id catalog.GatewayID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.different, id)
}

func (c *clocks) differs(d ClockDifference) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.different[d.Gateway] = d
}

// recent returns the refusals that count, sorted by gateway.
func (c *clocks) recent(now time.Time) []ClockDifference {
	c.mu.Lock()
	defer c.mu.Unlock()
	var out []ClockDifference
	for _, d := range c.different {
		if now.Sub(d.At).Abs() < differenceFor {
			out = append(out, d)
		}
	}
	slices.SortFunc(out, func(a, b ClockDifference) int { return cmp.Compare(a.Gateway, b.Gateway) })
	return out
}

// ClockDifferences returns the members whose certificates were refused recently because of
// their dates, and not accepted since, sorted by gateway.
func (p *Port) ClockDifferences() []ClockDifference { return p.trust.clocks.recent(p.cfg.Now()) }

// observeDates remembers a certificate that was refused because of its dates, if it is that
// of a member.
func (t trust) observeDates(chain []*x509.Certificate, federation string, err error) {
	dates, ok := errors.AsType[*identity.DatesError](err)
	if !ok || len(chain) == 0 {
		return
	}
	peer, err := identity.IssuedFor(chain[0], federation, t.cas)
	if err == nil && t.known(peer, false) {
		t.clocks.differs(ClockDifference{Gateway: peer.ID(), NotBefore: dates.NotBefore, NotAfter: dates.NotAfter, At: dates.Now})
	}
}

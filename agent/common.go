package agent

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"reflect"
	"time"

	"github.com/meshway/meshway/consensus/catalog"
)

// ErrOutdated says that another gateway has written meanwhile; nothing was saved.
var ErrOutdated = errors.New("another gateway has changed what the gateways have in common")

// Common is what the gateways of one datacenter have in common, so that each of
// them can speak for it and a new one needs nobody's word.
type Common struct {
	Version     string // of this content; Save wants that of Current
	Certificate []byte // of the datacenter's CA, PEM; empty: there is none yet
	Key         CAKey
	Claim       *Claim    // nil: nobody founds, joins or leaves now
	Standing    *Standing // nil: the datacenter is in no federation
	Left        string    // id of the federation that it left last
}

// Claim is made by the gateway that founds, joins or leaves for all of the
// datacenter. The others wait.
type Claim struct {
	Gateway string
	At      time.Time
}

// Standing is the datacenter's membership, and who can take a gateway in.
type Standing struct {
	FederationID   string
	FederationName string
	Overlay        netip.Prefix // of the federation
	Contacts       []Contact    // all gateways of the federation, by id
}

// Contact is where a gateway of the federation is found, and how it is known.
type Contact struct {
	Gateway  catalog.GatewayID
	Pin      string   // of its datacenter's CA, as in a token
	Controls []string // host:port
}

// Same reports whether both say the same, in whatever version.
func (c Common) Same(o Common) bool {
	return bytes.Equal(c.Certificate, o.Certificate) && bytes.Equal(c.Key, o.Key) && c.Left == o.Left &&
		reflect.DeepEqual(c.Claim, o.Claim) && reflect.DeepEqual(c.Standing, o.Standing)
}

func (c Common) claimedBy(gateway string) bool { return c.Claim != nil && c.Claim.Gateway == gateway }

// claimedByOther tells whether another gateway is at work, and not gone since.
func (c Common) claimedByOther(self string, now time.Time) bool {
	return c.Claim != nil && c.Claim.Gateway != self && now.Sub(c.Claim.At) < claimLife
}

// gateways are the names of the datacenter's gateways in the federation.
func (s Standing) gateways(dc catalog.DatacenterName) []string {
	var names []string
	for _, c := range s.Contacts {
		if c.Gateway.Datacenter() == dc {
			names = append(names, c.Gateway.Name())
		}
	}
	return names
}

// Siblings keeps what the gateways of this datacenter have in common. A gateway
// that is alone by its nature has none.
type Siblings interface {
	// Current returns the newest content that is known; the error says why none is.
	Current() (Common, error)
	// Changed is closed at the next change of Current or Gateways after this call.
	Changed() <-chan struct{}
	// Save replaces the content of that version. errors.Is(err, ErrOutdated) when
	// it is not the newest any more. Current shows what was saved.
	Save(ctx context.Context, content Common) error
	// Gateways returns the names of the hosts that are to be gateways of this
	// datacenter, as far as was heard of; false: nothing was.
	Gateways() ([]string, bool)
	// Ask asks for them now.
	Ask(ctx context.Context) ([]string, error)
}

// CAKey is the key of a CA as PEM. It prints as (redacted).
type CAKey []byte

const redacted = "(redacted)"

// String hides the key.
func (CAKey) String() string { return redacted }

// GoString hides the key.
func (CAKey) GoString() string { return redacted }

// LogValue hides the key.
func (CAKey) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalJSON hides the key.
func (CAKey) MarshalJSON() ([]byte, error) { return []byte(`"` + redacted + `"`), nil }

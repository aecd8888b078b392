package membership

import (
	"context"
	"net/netip"

	"github.com/meshway/meshway/agent/config"
	"github.com/meshway/meshway/agent/identity"
	"github.com/meshway/meshway/consensus/catalog"
)

// InitOptions are the properties of a new federation.
type InitOptions struct {
	Name    string
	Overlay netip.Prefix // zero: a random ULA /48 (RFC 4193)
}

// JoinRequest is what a datacenter brings into a federation.
type JoinRequest struct {
	Prefixes []catalog.Prefix
	Gateway  catalog.Gateway // name, public key, endpoints, controls, version
}

// Siblings keeps the shared state of the gateways of this datacenter, and lists
// the hosts that are to be gateways.
type Siblings interface {
	// Current returns the newest content, or the reason why there is none.
	Current() (identity.SharedState, error)
	// Changed returns a channel that is closed at the next change of Current or
	// Gateways.
	Changed() <-chan struct{}
	// Save replaces the content of that version; errors.Is(err,
	// identity.ErrOutdated) if it is not the newest. Current then returns what
	// was saved.
	Save(ctx context.Context, content identity.SharedState) error
	// Gateways returns the names of the hosts that are to be gateways, as far as
	// they were observed; false: not observed yet.
	Gateways() ([]string, bool)
	// ReadGateways reads them now.
	ReadGateways(ctx context.Context) ([]string, error)
}

// Progress receives each completed step of a long command: its stable name and
// a message for the user.
type Progress func(step, message string)

func selfOf(file config.Config) catalog.GatewayID {
	return catalog.NewGatewayID(file.Datacenter, file.Gateway)
}

package membership

import (
	"context"

	"github.com/meshway/meshway/agent/identity"
)

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

// Package recovery finds out what a recovery of the catalog would keep.
package recovery

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/replica"
	"github.com/meshway/meshway/consensus/raftnode/internal/disk"
)

// Request configures a recovery. All fields but Log are required.
type Request struct {
	Dir    string
	ID     catalog.GatewayID   // of this gateway
	Voters []catalog.GatewayID // the new voters; ID must be one of them
	Now    time.Time           // names the backup
	Log    *slog.Logger        // nil: silent
}

// Validate returns why nothing can be recovered, or nil.
func (r Request) Validate() error {
	switch {
	case len(r.Voters) == 0:
		return errors.New("recover: no voters given: name at least this gateway")
	case !slices.Contains(r.Voters, r.ID):
		return fmt.Errorf("recover: voters do not contain %s: run it on a gateway that will vote", r.ID)
	case len(r.Voters) != len(slices.Compact(slices.Sorted(slices.Values(r.Voters)))):
		return errors.New("recover: a voter is named twice")
	case r.Now.IsZero():
		return errors.New("recover: no time given")
	}
	has, err := disk.HasState(r.Dir)
	if err != nil {
		return err
	}
	if !has {
		return fmt.Errorf("recover: %s holds no catalog: check the data directory, or join the federation again", r.Dir)
	}
	have, err := disk.ReadOwner(r.Dir)
	if err != nil {
		return err
	}
	if have.Gateway == "" {
		return fmt.Errorf("recover: %s has no %s: the gateway that it belongs to is unknown", r.Dir, disk.OwnerFile)
	}
	return nil
}

// CheckVoters fails if a voter is not in the catalog. It accepts all voters if
// the catalog contains no federation.
func (r Request) CheckVoters(view *replica.View) error {
	if _, known := view.Federation(); !known {
		return nil
	}
	for _, id := range r.Voters {
		if _, ok := view.Gateway(id); !ok {
			return fmt.Errorf("recover: voter %s is not in the catalog: see meshctl members", id)
		}
	}
	return nil
}

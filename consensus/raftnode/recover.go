package raftnode

import (
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"time"

	"github.com/hashicorp/raft"

	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/entrycheck"
	"github.com/meshway/meshway/consensus/catalog/replica"
	"github.com/meshway/meshway/consensus/raftnode/internal/disk"
	"github.com/meshway/meshway/consensus/raftnode/internal/fsm"
)

// Recovery configures Recover. All fields but Log are required.
type Recovery struct {
	Dir    string
	ID     catalog.GatewayID   // of this gateway
	Voters []catalog.GatewayID // the new voters; ID must be one of them
	Now    time.Time           // names the backup
	Log    *slog.Logger        // nil: silent
}

// Recover gives the catalog in a directory new voters, offline, after its quorum
// is lost permanently. It returns the directory with a copy of the previous
// state.
//
// meshd must be stopped on all remaining gateways, and Recover must be run on
// each of them with the same voters; a member that is not recovered and comes
// back must start with an empty directory. Writes that the lost members
// acknowledged and this one never received are lost; writes that this one
// received without an acknowledgement are kept, up to one that cannot be applied: it and
// those after it are removed, with a warning in Log.
func Recover(r Recovery) (backup string, err error) {
	if r.Log == nil {
		r.Log = slog.New(slog.DiscardHandler)
	}
	if err := r.validate(); err != nil {
		return "", err
	}
	n, err := r.open()
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, n.Close()) }()
	if err := r.checkVoters(n.View()); err != nil {
		return "", err
	}
	backup = filepath.Join(r.Dir, "before-recover-"+r.Now.UTC().Format("20060102T150405Z"))
	if err := n.store.BackUp(backup); err != nil {
		return "", fmt.Errorf("recover: %w", err)
	}
	if err := n.cutUnusable(backup); err != nil {
		return backup, fmt.Errorf("recover %s: %w", r.Dir, err)
	}
	var configuration raft.Configuration
	for _, id := range r.Voters {
		configuration.Servers = append(configuration.Servers, voter(id))
	}
	if err := n.store.Recover(n.raftConfig(), fsm.New(n.history, n.fail), offlineTransport(r.ID), configuration); err != nil {
		return backup, fmt.Errorf("recover %s: %w", r.Dir, err)
	}
	return backup, nil
}

// cutUnusable deletes the log from the first entry that cannot be applied: a hostile voter may
// have sent it to a build that stored it, and each member would stop there again.
func (n *Node) cutUnusable(backup string) error {
	applied, _ := n.fsm.Applied()
	removed, err := n.store.Cut(applied, entrycheck.Check)
	if err != nil || removed.First == 0 {
		return err
	}
	n.log.Warn("removed the entries of the log from the first one that cannot be applied, with the changes in them: if a later version of meshd wrote that entry, "+
		"restore the data directory from the backup, upgrade meshd, and recover again", "first", removed.First, "last", removed.Last, "err", removed.Why, "backup", backup)
	return nil
}

func (r Recovery) validate() error {
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
	return nil
}

// open opens the directory as a node that cannot run.
func (r Recovery) open() (*Node, error) {
	cfg := Config{ID: r.ID, Dir: r.Dir, Timers: LAN(), Log: r.Log}.withDefaults()
	have, err := disk.ReadOwner(r.Dir)
	if err != nil {
		return nil, err
	}
	if have.Gateway == "" {
		return nil, fmt.Errorf("recover: %s has no %s: the gateway that it belongs to is unknown", r.Dir, disk.OwnerFile)
	}
	return openNode(cfg)
}

// checkVoters fails if a voter is not in the catalog. It accepts all voters if
// the catalog contains no federation.
func (r Recovery) checkVoters(view *replica.View) error {
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

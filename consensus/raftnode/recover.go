package raftnode

import (
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"

	"github.com/hashicorp/raft"

	"github.com/meshway/meshway/consensus/catalog/entrycheck"
	"github.com/meshway/meshway/consensus/raftnode/internal/fsm"
	"github.com/meshway/meshway/consensus/raftnode/internal/recovery"
)

// Recovery configures Recover.
type Recovery = recovery.Request

// Prospect is what Inspect finds.
type Prospect = recovery.Prospect

// Inspect returns what Recover would keep, and changes nothing but what each start of a
// member does.
func Inspect(r Recovery) (p Prospect, err error) {
	n, err := openOffline(r)
	if err != nil {
		return p, err
	}
	defer func() { err = errors.Join(err, n.Close()) }()
	if p, err = recovery.Inspect(n.store, n.fsm); err != nil {
		return p, fmt.Errorf("recover %s: %w", r.Dir, err)
	}
	return p, nil
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
	n, err := openOffline(r)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, n.Close()) }()
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

// openOffline opens the directory as a node that cannot run.
func openOffline(r Recovery) (*Node, error) {
	if r.Log == nil {
		r.Log = slog.New(slog.DiscardHandler)
	}
	if err := r.Validate(); err != nil {
		return nil, err
	}
	n, err := openNode(Config{ID: r.ID, Dir: r.Dir, Timers: LAN(), Log: r.Log}.withDefaults())
	if err != nil {
		return nil, err
	}
	if err := r.CheckVoters(n.View()); err != nil {
		return nil, errors.Join(err, n.Close())
	}
	return n, nil
}

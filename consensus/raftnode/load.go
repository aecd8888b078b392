package raftnode

import (
	"errors"
	"path/filepath"

	"github.com/hashicorp/raft"
)

// load replays the content of the directory and checks that it belongs to this
// gateway and federation.
func (n *Node) load() error {
	// The directory of another gateway is refused before its content is read.
	if err := bindDirectory(n.cfg, ""); err != nil {
		return err
	}
	if err := n.replay(); err != nil {
		return err
	}
	return bindDirectory(n.cfg, n.federation())
}

// federation returns the id of the federation in the local copy; empty: there is
// none yet.
func (n *Node) federation() string {
	f, _ := n.fsm.state.View().Federation()
	return f.ID
}

// replay brings the state machine to the applied mark: the newest snapshot, then
// the entries that are known to be committed. See fsm.
func (n *Node) replay() error {
	meta, err := n.store.newestSnapshot()
	if err != nil {
		return err
	}
	var from uint64
	if meta != nil {
		from = meta.Index
		if err := n.loadSnapshot(meta); err != nil {
			return err
		}
	}
	if err := n.store.verifyLog(from); err != nil {
		return err
	}
	mark, err := n.store.appliedMark()
	if err != nil {
		return err
	}
	for index := from + 1; index <= mark; index++ {
		var entry raft.Log
		if err := n.store.bolt.GetLog(index, &entry); err != nil {
			if errors.Is(err, raft.ErrLogNotFound) { // the mark can be older than a restored snapshot
				break
			}
			return corrupt(filepath.Join(n.cfg.Dir, logFile), err)
		}
		if entry.Type != raft.LogCommand {
			continue
		}
		if err, ok := n.fsm.Apply(&entry).(error); ok {
			return err
		}
	}
	return nil
}

func (n *Node) loadSnapshot(meta *raft.SnapshotMeta) error {
	path := filepath.Join(n.cfg.Dir, snapshotsDir, meta.ID)
	_, source, err := n.store.snaps.Open(meta.ID)
	if err != nil {
		return corrupt(path, err)
	}
	if err := n.fsm.Restore(source); err != nil {
		return corrupt(path, err)
	}
	return nil
}

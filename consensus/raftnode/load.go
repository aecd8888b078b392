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
	if err := n.store.replay(n.fsm); err != nil {
		return err
	}
	return bindDirectory(n.cfg, n.fsm.federation())
}

// replay brings the state machine to the applied mark: the newest snapshot, then
// the entries that are known to be committed. See fsm.
func (s *store) replay(f *fsm) error {
	meta, err := s.newestSnapshot()
	if err != nil {
		return err
	}
	var from uint64
	if meta != nil {
		from = meta.Index
		if err := s.loadSnapshot(meta, f); err != nil {
			return err
		}
	}
	if err := s.verifyLog(from); err != nil {
		return err
	}
	mark, err := s.appliedMark()
	if err != nil {
		return err
	}
	for index := from + 1; index <= mark; index++ {
		var entry raft.Log
		if err := s.bolt.GetLog(index, &entry); err != nil {
			if errors.Is(err, raft.ErrLogNotFound) { // the mark can be older than a restored snapshot
				break
			}
			return corrupt(filepath.Join(s.dir, logFile), err)
		}
		if entry.Type != raft.LogCommand {
			continue
		}
		if err, ok := f.Apply(&entry).(error); ok {
			return err
		}
	}
	return nil
}

func (s *store) loadSnapshot(meta *raft.SnapshotMeta, f *fsm) error {
	path := filepath.Join(s.dir, snapshotsDir, meta.ID)
	_, source, err := s.snaps.Open(meta.ID)
	if err != nil {
		return corrupt(path, err)
	}
	if err := f.Restore(source); err != nil {
		return corrupt(path, err)
	}
	return nil
}

package disk

import (
	"errors"

	"github.com/hashicorp/raft"
)

// Entry returns one entry of the log; false: the log does not have it.
func (s *Store) Entry(index uint64) (entry raft.Log, found bool, err error) {
	err = s.logs().GetLog(index, &entry)
	if errors.Is(err, raft.ErrLogNotFound) {
		return raft.Log{}, false, nil
	}
	if err != nil {
		return raft.Log{}, false, explain(s.logPath(), err)
	}
	return entry, true, nil
}

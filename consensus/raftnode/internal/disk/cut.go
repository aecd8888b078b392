package disk

import "github.com/hashicorp/raft"

// Removed is which entries Cut has deleted, and why; First 0: none.
type Removed struct {
	First, Last uint64
	Why         error
}

// Cut deletes the entries of the log from the first command on, after the entry applied, for
// whose data check returns an error. Only a recovery may do so.
func (s *Store) Cut(applied uint64, check func(data []byte) error) (Removed, error) {
	log, _ := s.watched()
	first, err := log.FirstIndex()
	if err != nil || first == 0 {
		return Removed{}, err
	}
	last, err := log.LastIndex()
	if err != nil {
		return Removed{}, err
	}
	for index := max(first, applied+1); index <= last; index++ {
		var entry raft.Log
		if err := log.GetLog(index, &entry); err != nil {
			return Removed{}, corrupt(s.logPath(), err)
		}
		if entry.Type != raft.LogCommand {
			continue
		}
		why := check(entry.Data)
		if why == nil {
			continue
		}
		if err := log.DeleteRange(index, last); err != nil {
			return Removed{}, explain(s.logPath(), err)
		}
		return Removed{First: index, Last: last, Why: why}, nil
	}
	return Removed{}, nil
}

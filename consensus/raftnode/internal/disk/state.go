package disk

import (
	"errors"
	"os"
	"path/filepath"

	raftboltdb "github.com/hashicorp/raft-boltdb/v2"

	"github.com/meshway/meshway/consensus/raftnode/logstore"
)

// HasState reports whether dir holds the state of a catalog: a log, a term or a
// snapshot. It changes nothing. It fails while a Node has dir open.
func HasState(dir string) (bool, error) {
	path := filepath.Join(dir, boltFile)
	if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
		return hasSnapshots(dir)
	}
	if err := verifyFile(path); err != nil {
		return false, err
	}
	bolt, err := openBolt(path, true)
	if err != nil {
		return false, err
	}
	defer bolt.Close()
	last, err := lastIndex(dir, bolt)
	if err != nil {
		return false, err
	}
	if last > 0 {
		return true, nil
	}
	if term, err := bolt.GetUint64([]byte("CurrentTerm")); err == nil && term > 0 {
		return true, nil
	}
	return hasSnapshots(dir)
}

// lastIndex returns the index of the last entry of a log that is not open.
func lastIndex(dir string, bolt *raftboltdb.BoltStore) (uint64, error) {
	path := filepath.Join(dir, boltFile)
	kind, err := kindOf(bolt, path)
	if err != nil {
		return 0, err
	}
	if kind == WAL {
		path = filepath.Join(dir, walDir)
		_, last, err := logstore.Inspect(path)
		if err != nil {
			return 0, explainMissing(path, err)
		}
		return last, nil
	}
	last, err := bolt.LastIndex()
	if err != nil {
		return 0, corrupt(path, err)
	}
	return last, nil
}

func hasSnapshots(dir string) (bool, error) {
	found, err := filepath.Glob(filepath.Join(dir, snapshotsDir, "*", "meta.json"))
	if err != nil {
		return false, explain(dir, err)
	}
	return len(found) > 0, nil
}

package member

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/meshway/meshway/consensus"
	"github.com/meshway/meshway/consensus/catalog/replica"
	"github.com/meshway/meshway/consensus/raftnode"
)

// seed is what the admitting gateway sent, until raft has sent it too. It is in the
// directory of raft, so that it is removed with it.
type seed struct {
	catalog string // the path of the snapshot
	voters  string // the path of the JSON of consensus.Electorate; missing: the gateway sent none
}

func seedOf(raftDir string) seed {
	return seed{catalog: filepath.Join(raftDir, "join.snapshot"), voters: filepath.Join(raftDir, "join.voters")}
}

func (s seed) exists() bool {
	_, err := os.Stat(s.catalog)
	return !errors.Is(err, os.ErrNotExist)
}

func (s seed) save(snapshot []byte, then consensus.Electorate) error {
	if err := s.write(snapshot, then); err != nil {
		return fmt.Errorf("store the catalog of the federation: %w", err)
	}
	return nil
}

func (s seed) write(snapshot []byte, then consensus.Electorate) error {
	if err := os.MkdirAll(filepath.Dir(s.catalog), 0o700); err != nil {
		return err
	}
	if len(then.Voters) > 0 {
		voters, err := json.Marshal(then)
		if err != nil {
			return err
		}
		if err := os.WriteFile(s.voters, voters, 0o600); err != nil {
			return err
		}
	}
	return os.WriteFile(s.catalog, snapshot, 0o600)
}

// plant initializes the catalog of a gateway that was just admitted, if there is a seed.
func (s seed) plant(node *raftnode.Node) error {
	data, err := os.ReadFile(s.catalog)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read the catalog of the federation: %w", err)
	}
	state, err := replica.Decode(bytes.NewReader(data))
	if err != nil {
		return fmt.Errorf("the copy of the catalog in %s is corrupt: %w: %s", s.catalog, err, copyAgain)
	}
	return node.Seed(state.View(), s.electorate())
}

// electorate returns the gateways that voted when this one was admitted; none: they are
// not known.
func (s seed) electorate() (then consensus.Electorate) {
	data, err := os.ReadFile(s.voters)
	if err != nil || json.Unmarshal(data, &then) != nil {
		return consensus.Electorate{} // as if the admitting gateway were of an earlier build
	}
	return then
}

package recovery

import (
	"slices"
	"time"

	"github.com/hashicorp/raft"

	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/entrycheck"
	"github.com/meshway/meshway/consensus/catalog/replica"
	"github.com/meshway/meshway/consensus/raftnode/internal/disk"
	"github.com/meshway/meshway/consensus/raftnode/internal/fsm"
)

// Prospect is what a recovery of a directory would keep. What the other members have is not
// in the directory.
type Prospect struct {
	Index     uint64    // of the last entry that the recovery keeps
	WrittenAt time.Time // of the newest write up to it; zero: it is in a snapshot, which has no times
	Committed uint64    // up to which the members are known to have committed; those after it may not have been acknowledged
	Unusable  uint64    // the first entry that cannot be applied, from which on the recovery removes all; 0: there is none
	Former    []catalog.GatewayID
	View      *replica.View // of the catalog after the recovery
}

// Inspect reads the log of a store that was replayed, and applies to the catalog in memory
// what is not known to be committed.
func Inspect(store *disk.Store, machine *fsm.Machine) (p Prospect, err error) {
	configuration, last, err := store.Snapshotted()
	if err != nil {
		return p, err
	}
	p.Index = last
	p.Committed, _ = machine.Applied()
	for index := max(store.FirstIndex(), 1); ; index++ {
		entry, found, err := store.Entry(index)
		if err != nil {
			return p, err
		}
		if !found {
			break
		}
		switch {
		case entry.Type == raft.LogConfiguration && index > last:
			configuration = raft.DecodeConfiguration(entry.Data)
		case entry.Type != raft.LogCommand:
		case index > p.Committed && entrycheck.Check(entry.Data) != nil:
			p.Unusable = index
		default:
			if err := p.add(machine, &entry); err != nil {
				return p, err
			}
		}
		if p.Unusable != 0 {
			break
		}
		p.Index = max(p.Index, index)
	}
	for _, s := range configuration.Servers {
		if s.Suffrage == raft.Voter {
			p.Former = append(p.Former, catalog.GatewayID(s.ID))
		}
	}
	slices.Sort(p.Former)
	p.View = machine.View()
	return p, nil
}

// add takes a write into account.
func (p *Prospect) add(machine *fsm.Machine, entry *raft.Log) error {
	commands, err := catalog.Unmarshal(entry.Data)
	if err != nil {
		return err
	}
	for _, c := range commands {
		if at := c.GetAt().AsTime(); c.GetAt() != nil && at.After(p.WrittenAt) {
			p.WrittenAt = at
		}
	}
	if entry.Index <= p.Committed {
		return nil
	}
	if err, ok := machine.Apply(entry).(error); ok {
		return err
	}
	return nil
}

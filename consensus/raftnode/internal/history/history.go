package history

import (
	"cmp"
	"log/slog"
	"sync"

	"github.com/hashicorp/raft"

	"github.com/meshway/meshway/consensus"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/catalogpb"
)

const (
	// perAuthor is how many events of each datacenter are kept.
	perAuthor = 256
	// maxFormer is how many datacenters that are no members keep their events.
	maxFormer = 64
)

// Store is the data directory of the member.
type Store interface {
	Entry(index uint64) (entry raft.Log, found bool, err error) // of the log
	FirstIndex() uint64                                         // of the log; 0: it is empty
	SnapshotInLog() (uint64, error)                             // index of the newest snapshot, if the log has its last entry
	ReadEvents() (data []byte, path string, err error)
	WriteEvents(data []byte) error
}

// History records the events of the commands that are applied. It keeps the newest ones of
// each author datacenter in memory. Those that the log no longer has are in a file, too,
// which is written before the log is cut; Load reads the others from the log.
type History struct {
	store  Store
	member func(catalog.DatacenterName) bool // reports whether a datacenter is a member
	log    *slog.Logger
	saving chan struct{} // size 1: is held over writes of the file, which a mutex must not be

	mu    sync.Mutex // guards all following
	rings map[catalog.DatacenterName]*ring
	last  uint64 // index of the last entry that is recorded
	floor uint64 // the log has no entry before it that is known to be of the catalog
	saved uint64 // last in the file
}

// event is an event and its number among those of one entry.
type event struct {
	consensus.Event
	number int
}

// before compares the places of two events in the log.
func before(a, b event) int {
	return cmp.Or(cmp.Compare(a.Index, b.Index), cmp.Compare(a.number, b.number))
}

// New returns a history without events.
func New(store Store, member func(catalog.DatacenterName) bool, log *slog.Logger) *History {
	return &History{
		store: store, member: member, log: log, saving: make(chan struct{}, 1), rings: make(map[catalog.DatacenterName]*ring),
	}
}

// Last returns the index of the last entry that is recorded.
func (h *History) Last() uint64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.last
}

// Record adds the commands of an entry that was applied, unless it has them.
func (h *History) Record(index uint64, cmds []*catalogpb.Command) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if index <= h.last {
		return
	}
	datacenters := len(h.rings)
	h.add(index, cmds)
	if len(h.rings) > datacenters {
		h.dropFormer()
	}
}

// Replaced records that the catalog is that of a snapshot. If it is one of another member
// or of an archive, the log begins after it, and the file is written. The log has the last
// entry of one of this member, and those after it, which are recorded when they are applied
// again: the catalog in a snapshot may be that of a later entry.
func (h *History) Replaced(index uint64) {
	if snapshot, err := h.store.SnapshotInLog(); err == nil && snapshot > 0 {
		return
	}
	h.mu.Lock()
	newer := index > h.last
	if newer {
		h.last, h.floor = index, index+1
	}
	h.mu.Unlock()
	if newer {
		h.Save(0, index)
	}
}

// add adds the commands of an entry; h.mu is held.
func (h *History) add(index uint64, cmds []*catalogpb.Command) {
	for i, cmd := range cmds {
		h.keep(event{consensus.NewEvent(index, cmd), i})
	}
	h.last = index
}

// keep adds an event to those of its datacenter; h.mu is held.
func (h *History) keep(e event) {
	author := e.Author.Datacenter()
	r, found := h.rings[author]
	if !found {
		r = new(ring)
		h.rings[author] = r
	}
	r.add(e)
}

// dropFormer drops datacenters that are no members if there are too many: those first
// that wrote nothing for the longest time. h.mu is held.
func (h *History) dropFormer() {
	for {
		var former int
		var oldest catalog.DatacenterName
		for name, r := range h.rings {
			if h.member(name) {
				continue
			}
			former++
			if former == 1 || before(r.newest(), h.rings[oldest].newest()) < 0 {
				oldest = name
			}
		}
		if former <= maxFormer {
			return
		}
		delete(h.rings, oldest)
	}
}

// commands returns the commands of an entry of the log.
func commands(entry raft.Log) []*catalogpb.Command {
	if entry.Type != raft.LogCommand {
		return nil
	}
	cmds, err := catalog.Unmarshal(entry.Data)
	if err != nil {
		return nil // Apply has reported it
	}
	return cmds
}

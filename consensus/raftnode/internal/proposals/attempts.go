package proposals

import (
	"sync"

	"github.com/meshway/meshway/consensus/catalog/catalogpb"
)

// Attempts contains the commands that this leader is writing: an attempt begins
// before a command is judged, and ends when its outcome is known.
type Attempts struct {
	mu      sync.Mutex // guards running
	running map[commandID]int
}

type commandID struct {
	author, client string
	sequence       uint64
}

// Attempt is one attempt to write the commands of one call.
type Attempt struct {
	Leave  func()
	Before []bool // whether an attempt of the command in an earlier call is running
}

// Enter begins an attempt. Leave may be called more than once.
func (a *Attempts) Enter(cmds []*catalogpb.Command) *Attempt {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.running == nil {
		a.running = make(map[commandID]int)
	}
	ids := make([]commandID, len(cmds))
	before := make([]bool, len(cmds))
	for i, c := range cmds {
		ids[i] = commandID{c.GetAuthor(), c.GetClient(), c.GetSequence()}
		before[i] = a.running[ids[i]] > 0
	}
	for _, id := range ids { // a command that is twice in this call is judged twice
		a.running[id]++
	}
	return &Attempt{Before: before, Leave: sync.OnceFunc(func() { a.end(ids) })}
}

func (a *Attempts) end(ids []commandID) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, id := range ids {
		if a.running[id]--; a.running[id] == 0 {
			delete(a.running, id)
		}
	}
}

package raftnode

import (
	"sync"

	"github.com/meshway/meshway/consensus/catalog/catalogpb"
)

// attempts contains the commands that this leader is writing: an attempt begins
// before a command is judged, and ends when its outcome is known.
type attempts struct {
	mu      sync.Mutex // guards running
	running map[commandID]int
}

type commandID struct {
	author, client string
	sequence       uint64
}

// attempt is one attempt to write the commands of one call.
type attempt struct {
	leave  func()
	before []bool // whether an earlier attempt of the command is running
}

// enter begins an attempt. leave may be called more than once.
func (a *attempts) enter(cmds []*catalogpb.Command) *attempt {
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
		a.running[ids[i]]++
	}
	return &attempt{before: before, leave: sync.OnceFunc(func() { a.end(ids) })}
}

func (a *attempts) end(ids []commandID) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, id := range ids {
		if a.running[id]--; a.running[id] == 0 {
			delete(a.running, id)
		}
	}
}

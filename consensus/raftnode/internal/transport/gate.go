package transport

import (
	"sync"
	"sync/atomic"

	"github.com/meshway/meshway/consensus/catalog"
)

// gate lets one stream at a time send what takes much memory: the other members can open
// many streams. That of the leader comes first, so that no other voter can occupy the gate by
// sending slowly, and a later stream of a gateway replaces one that may be broken.
type gate struct {
	mu     sync.Mutex
	freed  *sync.Cond
	holder *passage // nil: none
}

func newGate() *gate {
	g := &gate{}
	g.freed = sync.NewCond(&g.mu)
	return g
}

// passage is a stream that may enter gates.
type passage struct {
	from  catalog.GatewayID
	end   func() // closes the stream
	ended atomic.Bool
}

// enter reports whether the stream p holds the gate. It ends a stream that holds it, and is
// not to be preferred, and waits until that has left.
func (g *gate) enter(p *passage, leader catalog.GatewayID) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	for {
		switch {
		case p.ended.Load():
			return false // it must not end the one that has replaced it
		case g.holder == nil || g.holder == p:
			g.holder = p
			return true
		case p.from != g.holder.from && p.from != leader:
			return false
		}
		g.holder.end()
		g.freed.Wait()
	}
}

// leave frees the gate if p holds it.
func (g *gate) leave(p *passage) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.holder == p {
		g.holder = nil
		g.freed.Broadcast()
	}
}

package history

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/meshway/meshway/consensus"
)

// Outcome is the outcome of a write, as its client has it.
type Outcome int

// The outcomes of a write.
const (
	Done    Outcome = iota
	NotDone         // it will never take effect
	Unknown         // it may have taken effect, or may yet
	Failed          // the same, and the writer may undo it
)

// Member is a member that clients call.
type Member interface {
	// Put registers a service with a value, and returns the index of the entry if it is
	// known.
	Put(ctx context.Context, key, value string) (uint64, Outcome)
	// Delete deregisters a service. Its results are those of Put.
	Delete(ctx context.Context, key string) (uint64, Outcome)
	// Read returns the value of a service, empty if it is not registered, and the index
	// of the catalog that was read.
	Read(ctx context.Context, key string, mode consensus.ReadMode) (value string, index uint64, err error)
}

// Keys are the services that clients read. They may grow.
type Keys struct {
	mu    sync.Mutex // guards all
	all   []string
	ended map[string]bool
}

// Add adds a service.
func (k *Keys) Add(key string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.all = append(k.all, key)
}

// All returns the services that have not ended.
func (k *Keys) All() []string {
	k.mu.Lock()
	defer k.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(k.all), func(key string) bool { return k.ended[key] })
}

// End ends services that something else than clients changes from now on: no later read
// of them is recorded.
func (k *Keys) End(which func(key string) bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.ended == nil {
		k.ended = make(map[string]bool)
	}
	for _, key := range k.all {
		if which(key) {
			k.ended[key] = true
		}
	}
}

func (k *Keys) hasEnded(key string) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.ended[key]
}

// added returns how many services were added.
func (k *Keys) added() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return len(k.all)
}

// Client calls random members.
type Client struct {
	History *History
	Number  int // unique in the history
	Random  *rand.Rand
	Keys    *Keys    // that are read
	Own     []string // that are written, through Writers
	Writers []Member
	Members []Member      // that are read
	Repairs bool          // writers repeat a write of unknown outcome on their own
	Leases  bool          // reads with a lease are linearizable as well: no member restarts
	Timeout time.Duration // of a call
	Pause   time.Duration // at most, between two calls

	replaced bool // by the last call
}

// Run makes calls until the context ends or steps are done.
func (c *Client) Run(ctx context.Context, steps int) {
	for step := 0; step < steps && ctx.Err() == nil; step++ {
		c.step(ctx, step)
		select {
		case <-ctx.Done():
		case <-time.After(c.nextPause()):
		}
	}
}

// nextPause returns the time until the next call. A writer that has no answer waits
// longer, as each of its writes of unknown outcome makes a new service.
func (c *Client) nextPause() time.Duration {
	pause := time.Duration(c.Random.Int64N(int64(c.Pause)))
	if c.replaced {
		pause += 10 * c.Pause
	}
	c.replaced = false
	return pause
}

func (c *Client) step(ctx context.Context, step int) {
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	for _, own := range slices.Clone(c.Own) {
		if c.Keys.hasEnded(own) {
			c.replace(own)
		}
	}
	key, own := one(c.Random, c.Keys.All()), one(c.Random, c.Own)
	switch n := c.Random.IntN(10); {
	case n < 4:
		c.put(ctx, own, fmt.Sprintf("%d-%d", c.Number, step))
	case n < 5:
		c.delete(ctx, own)
	case n < 8:
		c.ReadLinear(ctx, one(c.Random, c.Members), key, consensus.ConsistentRead)
	case n < 9 && c.Leases:
		c.ReadLinear(ctx, one(c.Random, c.Members), key, consensus.LeaseRead)
	default:
		c.readStale(ctx, key)
	}
}

func one[T any](r *rand.Rand, of []T) T { return of[r.IntN(len(of))] }

func (c *Client) put(ctx context.Context, key, value string) {
	call := c.History.now()
	index, outcome := one(c.Random, c.Writers).Put(ctx, key, value)
	c.wrote(operation{key, Put, value}, call, index, outcome)
}

func (c *Client) delete(ctx context.Context, key string) {
	call := c.History.now()
	index, outcome := one(c.Random, c.Writers).Delete(ctx, key)
	c.wrote(operation{key, Delete, ""}, call, index, outcome)
}

func (c *Client) wrote(o operation, call int64, index uint64, outcome Outcome) {
	switch outcome {
	case Done:
		if index > 0 {
			c.History.wrote(o, index)
		}
		c.History.record(c.Number, o, call, "", c.History.now())
	case Unknown:
		c.History.record(c.Number, o, call, "", never)
		if c.Repairs {
			c.replace(o.key)
		}
	case Failed:
		c.History.record(c.Number, o, call, "", never)
		c.History.record(c.Number, operation{o.key, Delete, ""}, call, "", never)
		c.Keys.End(func(key string) bool { return key == o.key })
		c.replace(o.key)
	case NotDone:
	}
}

// replace writes another service from now on. A writer that repairs its registration
// after a later write is no operation of a client.
func (c *Client) replace(key string) {
	c.replaced = true
	i := slices.Index(c.Own, key)
	c.Own[i] = fmt.Sprintf("%s-%d", key, c.Keys.added())
	c.Keys.Add(c.Own[i])
}

// ReadLinear reads in a mode that is linearizable, and reports whether the read
// succeeded. One that fails is not recorded, nor is one of a service that has ended.
func (c *Client) ReadLinear(ctx context.Context, m Member, key string, mode consensus.ReadMode) bool {
	call := c.History.now()
	value, index, err := m.Read(ctx, key, mode)
	if err != nil {
		return false
	}
	if c.Keys.hasEnded(key) {
		return true
	}
	c.History.record(c.Number, operation{key: key}, call, value, c.History.now())
	c.History.read(Change{index, key, value})
	return true
}

func (c *Client) readStale(ctx context.Context, key string) {
	value, index, err := one(c.Random, c.Members).Read(ctx, key, consensus.StaleRead)
	if err == nil && !c.Keys.hasEnded(key) {
		c.History.read(Change{index, key, value})
	}
}

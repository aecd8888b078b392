package routestest

import (
	"context"
	"reflect"
	"strconv"
	"sync"

	"github.com/meshway/meshway/routes"
	"github.com/meshway/meshway/routes/ruleset"
)

// Filter is a routes.Filter in memory.
type Filter struct {
	mu      sync.Mutex // guards all following fields
	applied *routes.Firewall
	broken  bool
	writes  int
	err     error
	counted map[string]uint64
	others  ruleset.Ruleset
}

var _ routes.Filter = (*Filter)(nil)

// NewFilter returns a filter without a table.
func NewFilter() *Filter { return &Filter{} }

// Apply writes the table unless it is intact and equal.
func (f *Filter) Apply(_ context.Context, fw routes.Firewall) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err != nil {
		return f.err
	}
	if f.applied != nil && !f.broken && reflect.DeepEqual(*f.applied, fw) {
		return nil
	}
	f.applied, f.broken = &fw, false
	f.writes++
	return nil
}

// State reports whether there is a table, and whether Break has changed it.
func (f *Filter) State(context.Context) (routes.TableState, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case f.applied == nil:
		return routes.TableAbsent, f.err
	case f.broken:
		return routes.TableOther, f.err
	default:
		return routes.TableIntact, f.err
	}
}

// Remove deletes the table.
func (f *Filter) Remove(context.Context) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err != nil {
		return f.err
	}
	f.applied, f.broken = nil, false
	return nil
}

// Counters returns what Count has counted.
func (f *Filter) Counters(context.Context) ([]routes.Counter, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err != nil || f.applied == nil {
		return nil, f.err
	}
	var counters []routes.Counter
	for _, name := range routes.Counters() {
		counters = append(counters, routes.Counter{Name: name, Packets: f.counted[name]})
	}
	return counters, nil
}

// Others returns what SetOthers has set.
func (f *Filter) Others(context.Context) (ruleset.Ruleset, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.others, f.err
}

// SetOthers replaces the rules of other programs.
func (f *Filter) SetOthers(r ruleset.Ruleset) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.others = r
}

// Count makes the table drop packets.
func (f *Filter) Count(counter string, packets uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.counted == nil {
		f.counted = map[string]uint64{}
	}
	f.counted[counter] += packets
}

// Break changes the table, as another program would.
func (f *Filter) Break() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.broken = true
}

// Fail makes every operation return err; nil ends this.
func (f *Filter) Fail(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.err = err
}

// Applied returns the content of the table, and whether there is one.
func (f *Filter) Applied() (routes.Firewall, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.applied == nil {
		return routes.Firewall{}, false
	}
	return *f.applied, true
}

// Writes returns how often the table was written.
func (f *Filter) Writes() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.writes
}

// Written returns a text that differs after each write.
func (f *Filter) Written() string { return strconv.Itoa(f.Writes()) }

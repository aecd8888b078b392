package routestest

import (
	"context"
	"reflect"
	"strconv"
	"sync"

	"github.com/meshway/meshway/routes"
)

// Filter is a routes.Filter in memory.
type Filter struct {
	mu      sync.Mutex // guards all following fields
	applied *routes.Firewall
	broken  bool
	writes  int
	err     error
}

var _ routes.Filter = (*Filter)(nil)

// NewFilter returns a filter without a table.
func NewFilter() *Filter { return &Filter{} }

// Apply writes unless the table is intact and the same.
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

// State tells whether there is a table, and one that nobody else has changed.
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

// Break is another hand that changes our table.
func (f *Filter) Break() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.broken = true
}

// Fail makes every operation return err, until it is nil.
func (f *Filter) Fail(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.err = err
}

// Applied is what the table says, and whether there is one.
func (f *Filter) Applied() (routes.Firewall, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.applied == nil {
		return routes.Firewall{}, false
	}
	return *f.applied, true
}

// Writes is how often the table was written.
func (f *Filter) Writes() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.writes
}

// Written differs after each write.
func (f *Filter) Written() string { return strconv.Itoa(f.Writes()) }

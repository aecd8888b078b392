//go:build linux

package main

import (
	"context"
	"fmt"
	"hash/maphash"
	"time"

	"github.com/meshway/meshway/agent/registrar"
	"github.com/meshway/meshway/e2e/scale/workload"
)

func noneUnsigned() registrar.Unsigned { return registrar.Unsigned{} }

// measureCommit measures what the write of a service by another datacenter costs:
// the local copy, the registrar's comparison, and the search for changed exports.
func (b *bench) measureCommit(context.Context) (err error) {
	c, err := workload.NewCopy(b.size)
	if err != nil {
		return err
	}
	own, seed, n, exports := c.Desired(), maphash.MakeSeed(), 0, c.View().ExportsIndex()
	if missing := own.Missing(c.View(), noneUnsigned()); len(missing) > 0 {
		return fmt.Errorf("the catalog lacks %d records of this gateway", len(missing))
	}
	b.result.CommitCost, err = b.median("one foreign commit", func() (time.Duration, error) {
		n++
		change := b.size.Change(n)
		start := time.Now()
		if err := c.Apply(change); err != nil {
			return 0, err
		}
		view := c.View()
		own.Missing(view, noneUnsigned())
		if at := view.ExportsIndex(); at != exports { // as the controller of multi-cluster services does
			view.ExportedNames(seed)
			exports = at
		}
		return time.Since(start), nil
	})
	return err
}

//go:build linux

package main

import (
	"context"
	"fmt"
	"time"

	"github.com/meshway/meshway/agent/registrar"
	"github.com/meshway/meshway/e2e/scale/workload"
)

func noneUnsigned() registrar.Unsigned { return registrar.Unsigned{} }

// measureCommit measures what the write of a service by another datacenter costs:
// the local copy, the registrar's comparison, and the changes of services.
func (b *bench) measureCommit(context.Context) (err error) {
	c, err := workload.NewCopy(b.size)
	if err != nil {
		return err
	}
	own, n := c.Desired(), 0
	watcher, err := c.Watch()
	if err != nil {
		return err
	}
	defer watcher.Close()
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
		if _, err := watcher.Next(); err != nil { // as the controller of multi-cluster services does
			return 0, err
		}
		return time.Since(start), nil
	})
	return err
}

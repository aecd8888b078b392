package registrar_test

import (
	"fmt"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/replica"
)

// program is what one program has written of its service: the address that was
// acknowledged last, and that of the write under way; invalid: there is none.
type program struct {
	name               string
	acknowledged, next netip.Addr
}

// write registers the service twice, deregisters it, and registers it again.
func (p *program) write(t *testing.T, w *world, number int) {
	for step := range 4 {
		var err error
		if step == 2 {
			p.next = netip.Addr{}
			_, _, err = w.Deregister(t.Context(), "default", p.name, "")
		} else {
			p.next = netip.AddrFrom4([4]byte{10, 1, byte(number), byte(step + 1)})
			_, _, err = w.Register(t.Context(), service(p.name, p.next.String()))
		}
		if err != nil {
			return
		}
		p.acknowledged = p.next
	}
}

// The process ends at each point: before and after each write of the store, and of the
// catalog. What was acknowledged is in both after the next start, and what was not is in
// both or in none.
func TestNoCrashLosesAnAcknowledgedRegistration(t *testing.T) {
	for left, crashed := int64(0), true; crashed; left++ {
		synctest.Test(t, func(t *testing.T) { crashed = crashAfter(t, left) })
		if !crashed {
			require.Greater(t, left, int64(20))
		}
	}
}

// crashAfter reports whether there are as many points.
func crashAfter(t *testing.T, left int64) bool {
	w := newWorld(t)
	_, _, err := w.Register(t.Context(), service("before", "10.1.0.1"))
	require.NoError(t, err)
	dead := &crash{}
	dead.left.Store(left)
	w.catalog.crash, w.store.crash = dead, dead
	programs := make([]program, 3)
	var all sync.WaitGroup
	for i := range programs {
		programs[i].name = fmt.Sprintf("web%d", i)
		all.Go(func() {
			time.Sleep(time.Duration(i) * time.Nanosecond) // one order: a failure reproduces
			programs[i].write(t, w, i)
		})
	}
	all.Wait()
	crashed := dead.left.Load() < 0
	w.catalog.set(func() { w.catalog.crash = nil })
	w.store.crash = nil
	w.open(t)
	w.run(t)
	time.Sleep(2 * time.Second)
	have := addresses(w.catalog.View().Services(replica.ServiceFilter{}))
	assert.Equal(t, addresses(w.store.services), have, "after %d points", left)
	assert.Equal(t, netip.MustParseAddr("10.1.0.1"), have["before"])
	for _, p := range programs {
		if !crashed {
			require.Equal(t, p.acknowledged, have[p.name])
		}
		require.Contains(t, []netip.Addr{p.acknowledged, p.next}, have[p.name], "%s after %d points", p.name, left)
	}
	return crashed
}

func addresses(services []catalog.Service) map[string]netip.Addr {
	m := map[string]netip.Addr{}
	for _, s := range services {
		m[s.Name] = s.Address
	}
	return m
}

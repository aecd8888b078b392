//go:build linux && root

package liveness_test

import (
	"context"
	"fmt"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/meshway/meshway/agent/liveness"
	"github.com/meshway/meshway/agent/plan"
)

// BenchmarkSessionsCPU reports the share of a core that one end of 20 sessions
// uses, over real sockets: half of the CPU time of this process, which runs both.
//
//	go test -tags root -run - -bench SessionsCPU -benchtime 1x ./agent/liveness
func BenchmarkSessionsCPU(b *testing.B) {
	for _, c := range []struct {
		interval   time.Duration
		multiplier int
	}{{50 * time.Millisecond, 4}, {100 * time.Millisecond, 4}, {200 * time.Millisecond, 5}} {
		b.Run(fmt.Sprintf("%vx%d", c.interval, c.multiplier), func(b *testing.B) {
			const sessions, span = 20, 10 * time.Second
			w := newWire(b)
			here, there := netip.MustParseAddr("fd00::1"), make([]netip.Addr, sessions)
			var ours, theirs []plan.SessionConfig
			for i := range there {
				there[i] = netip.MustParseAddr(fmt.Sprintf("fd00::1:%x", i+1))
				ours = append(ours, plan.SessionConfig{Device: "mesh0", Local: here, Remote: there[i]})
				theirs = append(theirs, plan.SessionConfig{Device: "mesh0", Local: there[i], Remote: here})
			}
			w.addresses(b, 1, there)
			cfg := liveness.Config{Interval: c.interval, Multiplier: c.multiplier}
			ctx, cancel := context.WithCancel(b.Context())
			var running sync.WaitGroup
			defer running.Wait()
			defer cancel()
			var monitors []*liveness.Monitor
			for i, set := range [][]plan.SessionConfig{ours, theirs} {
				cfg.Network = inNamespace{b, w.hosts[i]}
				m := liveness.New(cfg)
				m.Set(set)
				running.Go(func() { _ = m.Run(ctx) })
				monitors = append(monitors, m)
			}
			require.Eventually(b, func() bool {
				for _, s := range monitors[0].Sessions() {
					if !s.Up {
						return false
					}
				}
				return true
			}, 20*time.Second, 10*time.Millisecond)
			for range b.N {
				before := used(b)
				<-time.After(span)
				b.ReportMetric(100*float64(used(b)-before)/float64(span)/2, "%core")
			}
		})
	}
}

func (w *wire) addresses(t testing.TB, i int, addrs []netip.Addr) {
	w.hosts[i].Do(t, func() error {
		link, err := netlink.LinkByName("mesh0")
		for _, a := range addrs {
			if err == nil {
				addr, _ := netlink.ParseAddr(a.String() + "/64")
				addr.Flags = unix.IFA_F_NODAD
				err = netlink.AddrAdd(link, addr)
			}
		}
		return err
	})
}

// used returns the CPU time of this process.
func used(t testing.TB) time.Duration {
	var u unix.Rusage
	require.NoError(t, unix.Getrusage(unix.RUSAGE_SELF, &u))
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

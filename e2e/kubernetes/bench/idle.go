//go:build linux

package bench

import (
	"context"
	"time"
)

// settleTime is how long the bench waits after the load, until the clusters have
// processed it and the Go runtime has returned memory to the system.
const settleTime = 30 * time.Second

// measureIdle measures memory and processor time of the gateways' agents and
// their userspace data planes while nothing changes.
func (b *Bench) measureIdle(ctx context.Context, r *Result) error {
	programs, err := b.programs()
	if err != nil {
		return err
	}
	for name, p := range programs {
		used, err := p.memory()
		if err != nil {
			return err
		}
		r.addExtra(name+"_memory_mb_after_load", used.resident)
	}
	if err := sleep(ctx, settleTime); err != nil {
		return err
	}
	meters := make(map[string]meter)
	for name, p := range programs {
		if meters[name], err = p.meter(); err != nil {
			return err
		}
	}
	b.logf("idle for %s", b.cfg.Idle)
	if err := sleep(ctx, b.cfg.Idle); err != nil {
		return err
	}
	for name, p := range programs {
		if err := b.readIdle(name, p, meters[name], r); err != nil {
			return err
		}
	}
	return nil
}

func (b *Bench) readIdle(name string, p program, m meter, r *Result) error {
	percent, err := m.percent()
	if err != nil {
		return err
	}
	used, err := p.memory()
	if err != nil {
		return err
	}
	r.addExtra(name+"_cpu_percent", percent)
	r.addExtra(name+"_memory_mb", used.resident)
	r.addExtra(name+"_memory_anonymous_mb", used.anonymous)
	r.addExtra(name+"_memory_peak_mb", used.peak)
	b.logf("%s: %.2f %% of a core, %.1f MiB resident, of which %.1f MiB anonymous; peak %.1f MiB",
		name, percent, used.resident, used.anonymous, used.peak)
	if name == "importing_agent" {
		r.IdleCPU, r.AgentMemory = rounded(percent), rounded(used.resident)
	}
	return nil
}

// programs returns Meshway's programs on both gateways by their names in the
// result.
func (b *Bench) programs() (map[string]program, error) {
	all := make(map[string]program)
	for role, s := range map[string]member{"exporting": b.east, "importing": b.west} {
		agent, dataplane, err := programsOn(s.Nodes()[0])
		if err != nil {
			return nil, err
		}
		all[role+"_agent"], all[role+"_dataplane"] = agent, dataplane
	}
	return all, nil
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(d):
		return nil
	}
}

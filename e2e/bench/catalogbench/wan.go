//go:build linux

package catalogbench

import (
	"context"
	"errors"
	"time"
)

// batchClients is the number of clients that register in batches over a long path.
const batchClients = 16

// measureWAN measures writes with a delay between the members, by proxies. The clients
// are at their member.
func (b *Bench) measureWAN(ctx context.Context, dir string) (err error) {
	p, err := b.start(ctx, dir, federationOptions{delay: b.cfg.Delay})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.close()) }()
	b.result.add("wan_rtt_ms", float64(2*b.cfg.Delay)/float64(time.Millisecond))
	f, e, span := p.federation, p.etcd, 2*b.cfg.Span
	write := func(member, clients int) func(context.Context) (Sample, error) {
		return f.inside(member, Load{Kind: "write", Clients: clients, Span: span})
	}
	return b.rounds(ctx, p, []row{
		{ms: "wan_write_ms_median", run: outside(1, span, f.client.write)},
		{ms: "wan_etcd_write_ms_median", run: outside(1, span, e.write(leading))},
		{ms: "wan_follower_write_ms_median", run: write(following, 1)},
		{ms: "wan_etcd_follower_write_ms_median", run: outside(1, span, e.write(following))},
		{perSecond: "wan_writes_per_s", run: outside(manyClients, span, f.client.write)},
		{perSecond: "wan_etcd_writes_per_s", run: outside(manyClients, span, e.write(leading))},
		{perSecond: "wan_follower_writes_per_s", run: write(following, manyClients)},
		{perSecond: "wan_etcd_follower_writes_per_s", run: outside(manyClients, span, e.write(following))},
		{perSecond: "wan_registrations_per_s", factor: batchSize, run: outside(batchClients, span, f.client.batch)},
		{perSecond: "wan_etcd_batched_per_s", factor: transaction, run: outside(batchClients, span, e.batch)},
	})
}

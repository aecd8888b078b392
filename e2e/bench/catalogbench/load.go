package catalogbench

import (
	"context"
	"sync"
	"time"

	"github.com/meshway/meshway/e2e/benchmark"
)

// operation is one call of a client. n is its number, counted over all clients.
type operation func(ctx context.Context, client, n int) error

// Sample is what a load measured.
type Sample struct {
	Count     int     // calls that succeeded
	PerSecond float64 // calls
	Median    float64 // latency, in ms
	Err       string  // of the first call that failed; empty: none
}

// load calls op from a number of clients, each of which calls again when it has the
// answer, until span is over.
func load(ctx context.Context, clients int, span time.Duration, op operation) Sample {
	type outcome struct {
		latencies []float64
		err       error
	}
	outcomes := make([]outcome, clients)
	var wg sync.WaitGroup
	began := time.Now()
	for client := range clients {
		wg.Go(func() {
			o := &outcomes[client]
			for n := client; ctx.Err() == nil && time.Since(began) < span; n += clients {
				called := time.Now()
				if o.err = op(ctx, client, n); o.err != nil {
					return
				}
				o.latencies = append(o.latencies, float64(time.Since(called))/float64(time.Millisecond))
			}
		})
	}
	wg.Wait()
	took := time.Since(began).Seconds()
	var all []float64
	var sample Sample
	for _, o := range outcomes {
		all = append(all, o.latencies...)
		if o.err != nil && sample.Err == "" {
			sample.Err = o.err.Error()
		}
	}
	if sample.Count = len(all); sample.Count > 0 {
		sample.PerSecond, sample.Median = float64(len(all))/took, benchmark.Median(all)
	}
	return sample
}

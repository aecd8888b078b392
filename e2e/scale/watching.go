//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"time"

	"github.com/meshway/meshway/agent/api"
	"github.com/meshway/meshway/agent/api/apiclient"
	"github.com/meshway/meshway/agent/api/apipb"
	"github.com/meshway/meshway/consensus"
	"github.com/meshway/meshway/consensus/catalog/replica"
	"github.com/meshway/meshway/e2e/scale/workload"
)

const (
	watchers             = 10_000
	watchesPerConnection = 100
	changesWatched       = 500 // so that the 99th percentile is of some
)

// watched is the catalog of a gateway as its programs use it.
type watched struct{ *workload.Copy }

func (w watched) Read(context.Context, consensus.ReadMode) (*replica.View, consensus.Freshness, error) {
	return w.View(), consensus.Freshness{}, nil
}

// measureWatch measures how long the change of a service takes from the copy of a
// gateway to the program that watches it, while others watch other services.
func (b *bench) measureWatch(ctx context.Context) (err error) {
	c, err := workload.NewCopy(b.size)
	if err != nil {
		return err
	}
	socket := filepath.Join(b.dir, "watch.sock")
	path, handler := api.New(api.Config{
		Datacenter: b.size.Self().Datacenter(), Member: func() (api.Member, error) { return watched{c}, nil },
		Bookmarks: time.Hour, // none
	})
	mux := http.NewServeMux()
	mux.Handle(path, handler)
	var listen net.ListenConfig
	listener, err := listen.Listen(ctx, "unix", socket)
	if err != nil {
		return err
	}
	server := &http.Server{Handler: mux, Protocols: cleartext(), ReadHeaderTimeout: time.Minute}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }() // it is awaited below
	watching, cancel := context.WithCancel(ctx)
	defer func() {
		cancel()
		err = errors.Join(err, server.Close())
		if e := <-ended; !errors.Is(e, http.ErrServerClosed) {
			err = errors.Join(err, e)
		}
	}()
	arrived := make(chan time.Time, watchers)
	if err := b.watch(watching, socket, arrived); err != nil {
		return err
	}
	b.note("%d programs watch", watchers)
	took := make([]float64, 0, changesWatched)
	for n := range changesWatched {
		if err := c.Apply(b.size.Change(n)); err != nil {
			return err
		}
		visible := time.Now()
		select {
		case at := <-arrived:
			took = append(took, float64(at.Sub(visible))/float64(time.Millisecond))
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	slices.Sort(took)
	b.result.WatchP99 = rounded(took[int(math.Ceil(0.99*changesWatched))-1])
	b.note("one change for one of %d watchers: median %.3f ms, of 100 the second slowest %.3f ms", watchers, took[len(took)/2], *b.result.WatchP99)
	return nil
}

// watch starts the watchers, each of another service, one connection after the other,
// and returns when all have the first state. What they get later arrives in the channel.
func (b *bench) watch(ctx context.Context, socket string, arrived chan<- time.Time) error {
	each := b.size.Services / b.size.Datacenters
	for from := 0; from < watchers; from += watchesPerConnection {
		ready := make(chan error, watchesPerConnection)
		client := apiclient.Socket(socket)
		for i := from; i < from+watchesPerConnection; i++ {
			s := b.size.Service(i%b.size.Datacenters, i/b.size.Datacenters%each, "")
			request := &apipb.WatchRequest{Read: "stale", Namespace: s.Namespace, Name: s.Name, Datacenter: string(s.Datacenter)}
			go follow(ctx, client, request, ready, arrived) // until ctx ends
		}
		for range watchesPerConnection {
			select {
			case err := <-ready:
				if err != nil {
					return fmt.Errorf("watch: %w", err)
				}
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	}
	return nil
}

// follow sends to ready when it has the first state, which is one service, and when the
// watch ends earlier.
func follow(ctx context.Context, client *apiclient.Client, r *apipb.WatchRequest, ready chan<- error, arrived chan<- time.Time) {
	started := false
	err := client.Follow(ctx, r, func(apiclient.Change) error {
		if started {
			arrived <- time.Now()
			return nil
		}
		started = true
		ready <- nil
		return nil
	}, nil)
	if !started {
		ready <- err
	}
}

// cleartext is HTTP/2 without TLS.
func cleartext() *http.Protocols {
	p := new(http.Protocols)
	p.SetUnencryptedHTTP2(true)
	return p
}

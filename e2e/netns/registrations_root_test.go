//go:build linux && root

package netns_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"net/http"
	"strconv"
	"sync"
	"testing"

	"connectrpc.com/connect"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/agent/control/controlpb"
	"github.com/meshway/meshway/agent/control/controlpb/controlpbconnect"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/e2e/harness"
)

// writer is a program on the host of a gateway that registers its service again and again,
// each time with a higher number.
type writer struct {
	name               string
	acknowledged, sent int
}

// write registers until the agent ends, and calls written after each success.
func (w *writer) write(ctx context.Context, client controlpbconnect.OperatorClient, dc *harness.Datacenter, written func()) {
	for {
		w.sent++
		_, err := client.RegisterService(ctx, connect.NewRequest(&controlpb.RegisterServiceRequest{Service: catalog.Service{
			ServiceKey: catalog.ServiceKey{Name: w.name, Instance: "a"},
			Address:    dc.Workloads[0].Pod, Ports: []catalog.Port{{Protocol: "tcp", Number: 80}},
			Labels: map[string]string{"number": strconv.Itoa(w.sent)},
		}.Proto()}))
		if err != nil {
			return
		}
		w.acknowledged = w.sent
		written()
	}
}

// operator returns a client of the agent on its socket.
func operator(dc *harness.Datacenter) controlpbconnect.OperatorClient {
	path := fmt.Sprintf("/proc/%d/root/run/meshway/meshd.sock", dc.Agent.PID())
	transport := &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", path)
		},
		MaxIdleConnsPerHost: 100,
	}
	return controlpbconnect.NewOperatorClient(&http.Client{Transport: transport}, "http://meshd")
}

// numbers returns the number of each service in the catalog of a member.
func numbers(ctx context.Context, dc *harness.Datacenter) (map[string]int, error) {
	response, err := operator(dc).ListServices(ctx, connect.NewRequest(&controlpb.ListServicesRequest{}))
	if err != nil {
		return nil, err
	}
	have := map[string]int{}
	for _, s := range response.Msg.GetServices() {
		if have[s.GetName()], err = strconv.Atoi(s.GetLabels()["number"]); err != nil {
			return nil, err
		}
	}
	return have, nil
}

// TestAKilledAgentKeepsWhatProgramsRegistered kills an agent while programs register, at
// several times, and starts it again: what was acknowledged is in the catalog of all, and
// nothing that no program sent. A stop writes the file of earlier builds.
func TestAKilledAgentKeepsWhatProgramsRegistered(t *testing.T) {
	topology := newFederation(t, "east", "west")
	east, west := topology.Datacenters[0], topology.Datacenters[1]
	writers := make([]writer, 16)
	for i := range writers {
		writers[i].name = fmt.Sprintf("web%d", i)
	}
	for _, kill := range []int{1, 50, 333} {
		client, left, ended := operator(west), kill, make(chan struct{})
		var mu sync.Mutex
		var all sync.WaitGroup
		for i := range writers {
			all.Go(func() {
				writers[i].write(t.Context(), client, west, func() {
					mu.Lock()
					defer mu.Unlock()
					if left--; left == 0 {
						close(ended)
					}
				})
			})
		}
		<-ended
		west.Agent.Kill()
		all.Wait()
		runAgent(t, west)
		awaitFederation(t, east, west)
		requireRegistered(t, writers, east, west)
	}

	require.NoError(t, west.Agent.Terminate(within(t, timeout)))
	file, err := west.Gateway.Exec(within(t, timeout), "cat", "/var/lib/meshway/services.json")
	require.NoError(t, err)
	var list []catalog.Service
	require.NoError(t, json.Unmarshal([]byte(file), &list), "an earlier build reads it")
	assert.Len(t, list, len(writers))
	runAgent(t, west)
	awaitFederation(t, east, west)
	requireRegistered(t, writers, east, west)
}

// requireRegistered waits until the members have the same services, each with the number
// that was acknowledged or the one that was sent after it.
func requireRegistered(t *testing.T, writers []writer, members ...*harness.Datacenter) {
	t.Helper()
	var have map[string]int
	eventually(t, timeout, "the members have the same services", func(ctx context.Context) error {
		var first map[string]int
		for i, dc := range members {
			n, err := numbers(ctx, dc)
			if err != nil {
				return err
			}
			if i == 0 {
				first = n
			} else if !maps.Equal(first, n) {
				return fmt.Errorf("%v and %v", first, n)
			}
		}
		for _, w := range writers {
			if first[w.name] != w.acknowledged && first[w.name] != w.sent {
				return fmt.Errorf("%s has number %d: %d was acknowledged, and %d sent", w.name, first[w.name], w.acknowledged, w.sent)
			}
		}
		have = first
		return nil
	})
	for i := range writers {
		writers[i].acknowledged = have[writers[i].name] // from now on: it was written again after the start
	}
}

//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/e2e/harness"
)

// requestInterval is short enough to detect an interruption of 100 ms.
const requestInterval = 20 * time.Millisecond

// awaitVoters waits until all gateways are voters.
func (t *tour) awaitVoters(ctx context.Context) error {
	if err := harness.AwaitVoters(ctx, len(t.topology.Datacenters), t.topology.Datacenters...); err != nil {
		return err
	}
	_, err := t.meshctl(ctx, t.east, "raft", "list-peers")
	return err
}

// killLeader kills the meshd of the leader during requests to, from and between
// the other datacenters' workloads.
func (t *tour) killLeader(ctx context.Context) error {
	leader, others, err := t.leader(ctx)
	if err != nil {
		return err
	}
	streams := t.requests(ctx, leader, others)
	t.screen.note("%s is the leader; requests run between all datacenters, one every %s each", leader.Name, requestInterval)
	t.screen.prompt(leader.Name, "kill -9 $(pidof meshd)")
	leader.Agent.Kill()
	t.killed = leader
	if err := t.awaitNewLeader(ctx, leader, others[0]); err != nil {
		return err
	}
	if err := t.writeAndRead(ctx, others[0], others[1]); err != nil {
		return err
	}
	return t.stopRequests(streams)
}

// leader returns the datacenter whose gateway is the leader, and the others.
func (t *tour) leader(ctx context.Context) (*harness.Datacenter, []*harness.Datacenter, error) {
	snapshot, err := t.east.Status(ctx)
	if err != nil {
		return nil, nil, err
	}
	var leader *harness.Datacenter
	var others []*harness.Datacenter
	leading := catalog.GatewayID(snapshot.Catalog.Leader).Datacenter()
	for _, dc := range t.topology.Datacenters {
		if dc.Name == string(leading) {
			leader = dc
		} else {
			others = append(others, dc)
		}
	}
	if leader == nil {
		return nil, nil, fmt.Errorf("leader %q is in no known datacenter", snapshot.Catalog.Leader)
	}
	return leader, others, nil
}

// requests starts streams of requests between the datacenter of the leader and the
// two others, and between those two.
func (t *tour) requests(ctx context.Context, leader *harness.Datacenter, others []*harness.Datacenter) []*harness.Traffic {
	var streams []*harness.Traffic
	for _, pair := range [][2]*harness.Datacenter{{others[0], leader}, {leader, others[1]}, {others[1], others[0]}} {
		client, server := pair[0].Workloads[0], pair[1].Workloads[1]
		streams = append(streams, client.Host.Requests(ctx, harness.At(server.Pod), requestInterval))
	}
	return streams
}

// awaitNewLeader waits until witness reports a leader that is not old.
func (t *tour) awaitNewLeader(ctx context.Context, old, witness *harness.Datacenter) error {
	start := time.Now()
	var leader string
	err := harness.Wait(ctx, "there is a new leader", func(ctx context.Context) error {
		snapshot, err := witness.Status(ctx)
		if err != nil {
			return err
		}
		leader = snapshot.Catalog.Leader
		if leader == "" || catalog.GatewayID(leader).Datacenter() == catalog.DatacenterName(old.Name) {
			return fmt.Errorf("the leader is %q", leader)
		}
		return nil
	})
	if err != nil {
		return err
	}
	t.screen.note("%s is the leader after %s", leader, time.Since(start).Round(10*time.Millisecond))
	return nil
}

// writeAndRead registers a service on one gateway and finds it on another.
func (t *tour) writeAndRead(ctx context.Context, writer, reader *harness.Datacenter) error {
	address := writer.Workloads[1].Service.String()
	out, err := t.meshctl(ctx, writer, "service", "register", "db", "--address", address, "--port", "5432")
	if err != nil {
		return err
	}
	if !strings.Contains(out, "registered at index") {
		return errors.New("the write was not committed")
	}
	return t.findService(ctx, reader, address)
}

func (t *tour) stopRequests(streams []*harness.Traffic) error {
	var sum harness.Report
	for _, stream := range streams {
		report := stream.Stop()
		sum.Sent += report.Sent
		sum.Answered += report.Answered
		sum.MaxLatency = max(sum.MaxLatency, report.MaxLatency)
		sum.Err = errors.Join(sum.Err, report.Err)
	}
	t.screen.note("%d requests in the meantime, %d lost; the slowest took %s", sum.Sent, sum.Lost(), sum.MaxLatency.Round(100*time.Microsecond))
	if sum.Lost() > 0 {
		return fmt.Errorf("%d of %d requests were lost: %w", sum.Lost(), sum.Sent, sum.Err)
	}
	if sum.Sent == 0 {
		return errors.New("no request was sent")
	}
	return nil
}

// restartKilled restarts the killed agent and waits until all datacenters are
// reachable.
func (t *tour) restartKilled(ctx context.Context) error {
	if err := t.runAgent(ctx, t.killed); err != nil {
		return err
	}
	if err := harness.AwaitFederation(ctx, t.topology.Datacenters...); err != nil {
		return err
	}
	_, err := t.meshctl(ctx, t.killed, "members")
	return err
}

func (t *tour) binDir() string { return filepath.Dir(t.binaries.Meshd) }

// shorten returns the beginning of a token, which suffices to recognise it.
func shorten(token string) string { return token[:min(len(token), 24)] + "…" }

func firstLine(text string) string {
	line, _, _ := strings.Cut(text, "\n")
	return line
}

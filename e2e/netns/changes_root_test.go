//go:build linux && root

package netns_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.zx2c4.com/wireguard/wgctrl"
	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"

	"github.com/meshway/meshway/e2e/harness"
)

// The longest interruptions of traffic by a change that is repaired: one of which the
// kernel sends an event, and one of WireGuard, or with a new handshake or process.
const (
	shortGap = 2 * time.Second
	longGap  = 6 * time.Second
)

// TestWhatAPersonChangesOnARunningGatewayIsRepairedOrReported changes a gateway as
// operators and other programs do, while pods send in both directions and families.
func TestWhatAPersonChangesOnARunningGatewayIsRepairedOrReported(t *testing.T) {
	topology := newFederation(t, "east", "west")
	east, west, router := topology.Datacenters[0], topology.Datacenters[1], topology.Routers[0]
	pauses := watchPauses(t, east, west)
	sent := unencrypted(t, router, west)
	want := gatewayState(t, east.Gateway)
	for _, c := range []struct {
		name     string
		commands []string
		tunnel   func(*wgtypes.Device) wgtypes.Config
		gap      time.Duration
	}{
		{name: "addresses added", commands: []string{"ip addr add 10.99.0.1/32 dev mesh0", "ip addr add fd99::1/64 dev mesh0"}, gap: shortGap},
		{name: "MTU without IPv6", commands: []string{"ip link set mesh0 mtu 1200"}, gap: shortGap},
		{name: "MTU of jumbo frames", commands: []string{"ip link set mesh0 mtu 9000"}, gap: shortGap},
		{name: "interface deleted", commands: []string{"ip link delete mesh0"}, gap: longGap},
		{name: "interface renamed", commands: []string{"ip link set mesh0 name foo"}, gap: longGap},
		{name: "interface moved", commands: []string{"ip netns add other", "ip link set mesh0 netns other"}, gap: longGap},
		{name: "peer removed", tunnel: peersOf(func(p *wgtypes.PeerConfig) { p.Remove = true }), gap: longGap},
		{name: "prefixes of a family removed", tunnel: peersOf(func(p *wgtypes.PeerConfig) {
			p.ReplaceAllowedIPs = true
			p.AllowedIPs = slices.DeleteFunc(p.AllowedIPs, func(n net.IPNet) bool { return n.IP.To4() != nil })
		}), gap: longGap},
		{name: "all prefixes removed", tunnel: peersOf(func(p *wgtypes.PeerConfig) { p.ReplaceAllowedIPs, p.AllowedIPs = true, nil }), gap: longGap},
		{name: "listen port changed", tunnel: func(*wgtypes.Device) wgtypes.Config { return wgtypes.Config{ListenPort: new(40000)} }, gap: shortGap},
		{name: "mark removed", tunnel: func(*wgtypes.Device) wgtypes.Config { return wgtypes.Config{FirewallMark: new(0)} }, gap: shortGap},
		{name: "private key changed", tunnel: func(*wgtypes.Device) wgtypes.Config {
			return wgtypes.Config{PrivateKey: &wgtypes.Key{0: 8, 31: 64}}
		}, gap: longGap},
		{name: "forwarding of the interface", commands: []string{"sysctl -w net.ipv4.conf.mesh0.forwarding=0"}, gap: shortGap},
		{name: "forwarding of IPv6", commands: []string{"sysctl -w net.ipv6.conf.all.forwarding=0"}, gap: shortGap},
		{name: "strict filters", commands: []string{"sysctl -w net.ipv4.conf.mesh0.rp_filter=1"}, gap: shortGap},
		{name: "nexthop deleted", commands: []string{"ip nexthop del id 0x4d570002"}, gap: shortGap},
		{name: "group replaced by another's", commands: []string{"ip nexthop replace id 0x4d570104 group 0x4d570000"}, gap: shortGap},
		{name: "chain flushed", commands: []string{"nft flush chain inet meshway guard"}, gap: shortGap},
		{name: "rule of a chain added", commands: []string{"nft insert rule inet meshway antispoof drop"}, gap: shortGap},
		{name: "ruleset flushed", commands: []string{"nft flush ruleset"}, gap: shortGap},
	} {
		t.Run(c.name, func(t *testing.T) {
			pauses.reset()
			began := time.Now()
			run(t, east.Gateway, c.commands...)
			if c.tunnel != nil {
				changeTunnel(t, east.Gateway, c.tunnel)
			}
			eventually(t, timeout/2, "the gateway is as before, and pods receive answers", func(context.Context) error {
				if have := gatewayState(t, east.Gateway); have != want {
					return errors.New(have)
				}
				return pauses.now()
			})
			t.Logf("repaired after %v, without answers for %v", time.Since(began), pauses.longest())
			assert.Less(t, pauses.longest(), c.gap)
		})
	}
	t.Run("our rule replaced by another of its priority", func(t *testing.T) {
		require.NoError(t, east.Agent.Pause()) // so that ours is not first again
		run(t, east.Gateway, "ip rule del lookup 7117", "ip rule add pref 5400 to 10.12.0.0/16 lookup main")
		require.NoError(t, east.Agent.Resume())
		const remedy = "ip rule del pref 5400 to 10.12.0.0/16 lookup main"
		awaitRemedy(t, east, "traffic-diverted", remedy)
		run(t, east.Gateway, remedy)
		awaitResolved(t, east, "traffic-diverted")
		requireTraffic(t, east, west)
	})
	t.Run("address of the underlay replaced", func(t *testing.T) {
		pauses.reset()
		require.NoError(t, topology.Renumber(east))
		eventually(t, timeout, "west uses the new address, and pods receive answers", func(ctx context.Context) error {
			out, err := west.Meshctl(ctx, "members", "-o", "json")
			if err == nil && !strings.Contains(out, east.Underlay.Addr().String()) {
				err = errors.New("the new address is not listed")
			}
			return errors.Join(err, pauses.now())
		})
		t.Logf("without answers for %v", pauses.longest())
		assert.Less(t, pauses.longest(), shortGap)
	})
	assert.Zero(t, unencrypted(t, router, west)-sent, "packets for west at the router")
}

// pauses are those of streams of datagrams in both directions and families.
type pauses struct {
	mu      sync.Mutex // guards all following fields
	last    []time.Time
	maximum time.Duration
}

func watchPauses(t *testing.T, a, b *harness.Datacenter) *pauses {
	t.Helper()
	var streams []*harness.Traffic
	for _, pair := range [][2]*harness.Workload{{a.Workloads[0], b.Workloads[1]}, {b.Workloads[1], a.Workloads[0]}} {
		for _, to := range []netip.Addr{pair[1].Pod, pair[1].Pod6} {
			stream, err := pair[0].Host.Datagrams(t.Context(), harness.At(to), 20*time.Millisecond)
			require.NoError(t, err)
			streams = append(streams, stream)
		}
	}
	p := &pauses{last: make([]time.Time, len(streams))}
	p.reset()
	stop, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		p.watch(streams, stop)
	}()
	t.Cleanup(func() {
		close(stop)
		<-ended
		var stopped sync.WaitGroup // each waits for its last answers
		for _, s := range streams {
			stopped.Go(func() { s.Stop() })
		}
		stopped.Wait()
	})
	eventually(t, timeout, "datagrams are answered", func(context.Context) error { return p.now() })
	return p
}

// watch compares the numbers of answers, until stop is closed.
func (p *pauses) watch(streams []*harness.Traffic, stop <-chan struct{}) {
	answered := make([]int, len(streams))
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	for {
		select {
		case <-stop:
			return
		case <-ticker.C:
		}
		p.mu.Lock()
		for i, s := range streams {
			p.maximum = max(p.maximum, time.Since(p.last[i]))
			if n := s.Report().Answered; n != answered[i] {
				answered[i], p.last[i] = n, time.Now()
			}
		}
		p.mu.Unlock()
	}
}

// reset begins a new measurement, in which no stream has received an answer.
func (p *pauses) reset() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.maximum = 0
	for i := range p.last {
		p.last[i] = time.Now()
	}
}

func (p *pauses) longest() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.maximum
}

// now returns an error if a stream receives no answers.
func (p *pauses) now() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, last := range p.last {
		if silent := time.Since(last); silent > 200*time.Millisecond {
			return fmt.Errorf("stream %d has no answer for %v", i, silent)
		}
	}
	return nil
}

// peersOf returns a change of all peers, which begins with their prefixes.
func peersOf(change func(*wgtypes.PeerConfig)) func(*wgtypes.Device) wgtypes.Config {
	return func(d *wgtypes.Device) (c wgtypes.Config) {
		for _, p := range d.Peers {
			peer := wgtypes.PeerConfig{PublicKey: p.PublicKey, UpdateOnly: true, AllowedIPs: p.AllowedIPs}
			change(&peer)
			c.Peers = append(c.Peers, peer)
		}
		return c
	}
}

// changeTunnel changes mesh0 as wg(8) does.
func changeTunnel(t *testing.T, host *harness.Host, change func(*wgtypes.Device) wgtypes.Config) {
	t.Helper()
	require.NoError(t, withTunnel(host, func(client *wgctrl.Client, d *wgtypes.Device) error {
		return client.ConfigureDevice(d.Name, change(d))
	}))
}

func withTunnel(host *harness.Host, do func(*wgctrl.Client, *wgtypes.Device) error) error {
	return host.Do(func() error {
		client, err := wgctrl.New()
		if err != nil {
			return err
		}
		defer client.Close()
		device, err := client.Device("mesh0")
		if err != nil {
			return err
		}
		return do(client, device)
	})
}

// gatewayState returns what Meshway configures on a gateway, and the errors of reading it.
func gatewayState(t *testing.T, host *harness.Host) string {
	t.Helper()
	var state strings.Builder
	err := withTunnel(host, func(_ *wgctrl.Client, d *wgtypes.Device) error {
		fmt.Fprintln(&state, d.PublicKey, d.ListenPort, d.FirewallMark)
		for _, p := range d.Peers {
			var prefixes []string
			for _, ip := range p.AllowedIPs {
				prefixes = append(prefixes, ip.String())
			}
			slices.Sort(prefixes)
			fmt.Fprintln(&state, p.PublicKey, p.PersistentKeepaliveInterval, prefixes)
		}
		return nil
	})
	settings, settingsErr := host.Exec(t.Context(), "sysctl", "net.ipv4.conf.mesh0.forwarding", "net.ipv4.conf.mesh0.rp_filter")
	link, linkErr := host.Exec(t.Context(), "sh", "-c", "ip -o link show dev mesh0 | cut -d' ' -f2-5")
	fmt.Fprintln(&state, err, settings, settingsErr, link, linkErr)
	return state.String() + kernelState(t, host)
}

package tunnel_test

import (
	"context"
	"fmt"
	"net/netip"

	"github.com/meshway/meshway/tunnel"
	"github.com/meshway/meshway/tunnel/tunneltest"
)

// exampleConfig returns an interface with one peer.
func exampleConfig() tunnel.Config {
	return tunnel.Config{
		Name:       "mesh0",
		ListenPort: 51820,
		Mark:       0x20,
		MTU:        1420,
		Addresses:  []netip.Prefix{netip.MustParsePrefix("fd00:100::1/128")},
		Peers: []tunnel.Peer{{
			PublicKey:  tunneltest.Key(2).Public(),
			Endpoint:   netip.MustParseAddrPort("192.0.2.2:51820"),
			AllowedIPs: []netip.Prefix{netip.MustParsePrefix("10.2.0.0/16")},
		}},
	}
}

func ExampleDiff() {
	key, want := tunneltest.Key(1), exampleConfig()

	// A new interface has an MTU, and nothing else.
	have := tunnel.Observed{Config: tunnel.Config{Name: "mesh0", MTU: 1420}}
	fmt.Println(tunnel.Diff(want, have, key))

	// The interface is up, but the peer has another prefix.
	have = tunnel.Observed{Config: want, PublicKey: key.Public(), Up: true}
	have.Config.Peers = nil
	have.Peers = []tunnel.ObservedPeer{{Peer: want.Peers[0]}}
	have.Peers[0].AllowedIPs = []netip.Prefix{netip.MustParsePrefix("10.9.0.0/16")}
	fmt.Println(tunnel.Diff(want, have, key))

	have.Peers[0].AllowedIPs = want.Peers[0].AllowedIPs
	fmt.Println(tunnel.Diff(want, have, key).Empty())
	// Output:
	// mesh0: private-key (redacted), listen-port 51820, fwmark 0x20, +peer rTPV4sH+pXCPcgPXWaOCbz33sf5z/H10k76moE+10VQ= endpoint 192.0.2.2:51820 +10.2.0.0/16, +address fd00:100::1/128, up
	// mesh0: ~peer rTPV4sH+pXCPcgPXWaOCbz33sf5z/H10k76moE+10VQ= +10.2.0.0/16 -10.9.0.0/16
	// true
}

// dryRun is a Device that reads from another one, and prints changes instead of
// applying them.
type dryRun struct{ tunnel.Device }

func (dryRun) Create(_ context.Context, name string, mtu int) error {
	fmt.Printf("create %s mtu %d\n", name, mtu)
	return nil
}

func (dryRun) Configure(_ context.Context, change tunnel.Change) error {
	fmt.Println("configure", change)
	return nil
}

func (dryRun) Remove(_ context.Context, name string) error {
	fmt.Println("remove", name)
	return nil
}

func ExampleDevice() {
	ctx, key, device := context.Background(), tunneltest.Key(1), tunneltest.NewFake()
	want := []tunnel.Config{exampleConfig()}
	if _, err := tunnel.Apply(ctx, device, key, want, true); err != nil {
		fmt.Println(err)
	}

	want[0].MTU = 1380
	want = append(want, tunnel.Config{Name: "mesh1", ListenPort: 51821, MTU: 1380})
	if _, err := tunnel.Apply(ctx, dryRun{device}, key, want, true); err != nil {
		fmt.Println(err)
	}
	// Output:
	// create mesh1 mtu 1380
	// configure mesh0: mtu 1380
}

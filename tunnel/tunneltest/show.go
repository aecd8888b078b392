package tunneltest

import (
	"context"
	"fmt"
	"strings"

	"github.com/meshway/meshway/tunnel"
)

// String returns the host's interfaces in a format like that of "wg show".
func (f *Fake) String() string {
	all, err := f.List(context.Background())
	if err != nil {
		return "error: " + err.Error()
	}
	return Show(all)
}

// Show returns interfaces in a format like that of "wg show", for goldens and
// failure messages. It omits what differs between runs: ifindex, counters and
// times.
func Show(all []tunnel.Observed) string {
	var b strings.Builder
	for _, o := range all {
		state := "down"
		if o.Up {
			state = "up"
		}
		fmt.Fprintf(&b, "interface: %s %s mtu %d\n", o.Name, state, o.MTU)
		if o.Err != nil {
			fmt.Fprintf(&b, "  unreadable: %s\n", o.Err)
			continue
		}
		key := "(none)"
		if !o.PublicKey.IsZero() {
			key = o.PublicKey.String()
		}
		fmt.Fprintf(&b, "  public key: %s\n  listening port: %d\n  fwmark: 0x%x\n", key, o.ListenPort, o.Mark)
		for _, a := range o.Addresses {
			fmt.Fprintf(&b, "  address: %s\n", a)
		}
		for _, p := range o.Peers {
			showPeer(&b, p)
		}
	}
	return b.String()
}

func showPeer(b *strings.Builder, p tunnel.ObservedPeer) {
	fmt.Fprintf(b, "  peer: %s\n", p.PublicKey)
	if p.Endpoint.IsValid() {
		fmt.Fprintf(b, "    endpoint: %s\n", p.Endpoint)
	}
	for _, ip := range p.AllowedIPs {
		fmt.Fprintf(b, "    allowed ip: %s\n", ip)
	}
	if p.Keepalive > 0 {
		fmt.Fprintf(b, "    persistent keepalive: every %s\n", p.Keepalive)
	}
}

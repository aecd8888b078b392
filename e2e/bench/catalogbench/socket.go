//go:build linux

package catalogbench

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"path/filepath"

	"connectrpc.com/connect"

	"github.com/meshway/meshway/agent/control/controlpb"
	"github.com/meshway/meshway/agent/control/controlpb/controlpbconnect"
	"github.com/meshway/meshway/e2e/harness"
)

// socketPath is where meshd listens for programs on its host.
const socketPath = "/run/meshway/meshd.sock"

// measureSocket measures registrations by programs on the host of a gateway: through
// the socket of a real agent, in a federation of three datacenters in network
// namespaces. In turns with them it measures writes to a catalog without agents.
func (b *Bench) measureSocket(ctx context.Context, dir string) (err error) {
	bin, err := filepath.Abs(b.cfg.Bin)
	if err != nil {
		return fmt.Errorf("find meshd: %w", err)
	}
	lab, err := harness.NewLab(dir, nil)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lab.Close()) }()
	topology, err := harness.NewTopology(ctx, lab, "dc0", "dc1", "dc2")
	if err != nil {
		return err
	}
	if err := federate(ctx, topology, harness.BinariesIn(bin)); err != nil {
		return err
	}
	bare, err := newFederation(ctx, filepath.Join(dir, "bare"), federationOptions{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, bare.close()) }()
	programs := make([]program, members)
	for i, dc := range topology.Datacenters {
		programs[i] = newProgram(i, dc)
		for n := range registrations / 8 {
			if err := programs[i].register(ctx, 0, n); err != nil {
				return fmt.Errorf("register through %s: %w", socketPath, err)
			}
		}
	}
	for range b.cfg.Rounds {
		for _, r := range []row{
			{ms: "socket_bare_write_ms_median", run: outside(1, b.cfg.Span, bare.client.write)},
			{ms: "socket_write_ms_median", run: outside(1, b.cfg.Span, programs[leading].register)},
			{ms: "socket_follower_write_ms_median", run: outside(1, b.cfg.Span, programs[following].register)},
			{perSecond: "socket_bare_writes_per_s", run: outside(manyClients, b.cfg.Span, bare.client.write)},
			{perSecond: "socket_writes_per_s", run: outside(manyClients, b.cfg.Span, programs[leading].register)},
			{perSecond: "socket_follower_writes_per_s", run: outside(manyClients, b.cfg.Span, programs[following].register)},
		} {
			if err := b.measure(ctx, r); err != nil {
				return err
			}
		}
	}
	return nil
}

// federate runs the agents, and waits until all vote and the first leads.
func federate(ctx context.Context, t *harness.Topology, binaries harness.Binaries) error {
	for _, dc := range t.Datacenters {
		if err := errors.Join(dc.Configure(dc.Config()), dc.Run(ctx, binaries)); err != nil {
			return err
		}
	}
	first := t.Datacenters[0]
	if _, err := first.Meshctl(ctx, "init"); err != nil {
		return err
	}
	for _, dc := range t.Datacenters[1:] {
		token, err := first.Token(ctx)
		if err != nil {
			return err
		}
		if _, err := dc.Meshctl(ctx, "join", token); err != nil {
			return errors.New("the join failed") // not err, which contains the token
		}
	}
	if err := harness.AwaitFederation(ctx, t.Datacenters...); err != nil {
		return err
	}
	return harness.AwaitVoters(ctx, members, t.Datacenters...)
}

// program calls meshd as programs on its host do.
type program struct {
	number int
	dc     *harness.Datacenter
	client controlpbconnect.OperatorClient
}

func newProgram(number int, dc *harness.Datacenter) program {
	path := fmt.Sprintf("/proc/%d/root%s", dc.Agent.PID(), socketPath)
	transport := &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", path)
		},
		MaxIdleConnsPerHost: manyClients, DisableCompression: true,
	}
	return program{number: number, dc: dc, client: controlpbconnect.NewOperatorClient(&http.Client{Transport: transport}, "http://meshd")}
}

// register registers one of 128 services, which are enough for one gateway.
func (p program) register(ctx context.Context, _, n int) error {
	s := serviceOf(p.number, n%(registrations/8), stamp())
	s.Datacenter, s.Owner = "", ""
	s.Address = p.dc.Workloads[0].Pod
	response, err := p.client.RegisterService(ctx, connect.NewRequest(&controlpb.RegisterServiceRequest{Service: s.Proto()}))
	if err != nil {
		return err
	}
	if response.Msg.GetQueued() {
		return errors.New("the registration was queued: there was no leader")
	}
	return nil
}

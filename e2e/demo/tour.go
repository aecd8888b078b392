//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"time"

	"github.com/meshway/meshway/e2e/harness"
)

// stepLimit is long enough for an election with WAN timers on a busy machine.
const stepLimit = 90 * time.Second

// tour is the demonstration, step by step.
type tour struct {
	screen   *screen
	lab      *harness.Lab
	binaries harness.Binaries

	topology          *harness.Topology
	east, west, north *harness.Datacenter
	tokens            []string
	killed            *harness.Datacenter // the one whose meshd was killed
}

func (t *tour) run(ctx context.Context) error {
	start := time.Now()
	for _, step := range []struct {
		title string
		run   func(context.Context) error
	}{
		{"Start three datacenters: gateway and workload hosts, and two routers between them", t.startHosts},
		{"Run the agent on each gateway", t.runAgents},
		{"Create a federation in east", t.createFederation},
		{"Create two join tokens; each is valid for one join", t.createTokens},
		{"Join west and north", t.join},
		{"Show which datacenters are reachable", t.showStatus},
		{"Send HTTP requests from west to east; the source address is preserved", t.showTraffic},
		{"Register a service in east and find it in north", t.showServices},
		{"Show the kernel's routes in west", t.showRoutes},
		{"Wait until all three gateways vote: a new gateway becomes a voter once it is stable", t.awaitVoters},
		{"Kill the agent of the leader: traffic continues, a new leader commits a write", t.killLeader},
		{"Restart the killed agent: it reconnects automatically", t.restartKilled},
	} {
		limited, cancel := context.WithTimeoutCause(ctx, stepLimit, fmt.Errorf("not done within %s", stepLimit))
		err := t.screen.step(step.title, func() error { return step.run(limited) })
		cancel()
		if err != nil {
			t.printLogs()
			return err
		}
	}
	t.screen.printf("\n%s\n", t.screen.paint(bold, fmt.Sprintf("all %d steps succeeded in %s", t.screen.steps, time.Since(start).Round(100*time.Millisecond))))
	return nil
}

func (t *tour) startHosts(ctx context.Context) error {
	var err error
	if t.topology, err = harness.NewTopology(ctx, t.lab, "east", "west", "north"); err != nil {
		return err
	}
	t.east, t.west, t.north = t.topology.Datacenter("east"), t.topology.Datacenter("west"), t.topology.Datacenter("north")
	for _, dc := range t.topology.Datacenters {
		a, b := dc.Workloads[0], dc.Workloads[1]
		t.screen.note("%-6s gateway %-13s pods %s  services %s", dc.Name, dc.Underlay.Addr(), dc.Pods, dc.Services)
		t.screen.note("       workloads %s %s, %s %s", a.Host.Name(), a.Pod, b.Host.Name(), b.Pod)
	}
	t.screen.note("only routers connect them, with routes to the addresses of the gateways only")
	return nil
}

func (t *tour) runAgents(ctx context.Context) error {
	for i, dc := range t.topology.Datacenters {
		if err := dc.Configure(dc.Config()); err != nil {
			return err
		}
		if i == 0 {
			t.screen.prompt(dc.Name, "cat "+harness.ConfigFile)
			t.screen.output(dc.Config())
		}
		if err := t.runAgent(ctx, dc); err != nil {
			return err
		}
	}
	return nil
}

func (t *tour) runAgent(ctx context.Context, dc *harness.Datacenter) error {
	t.screen.prompt(dc.Name, "meshd run --config "+harness.ConfigFile+" &")
	return dc.Run(ctx, t.binaries)
}

func (t *tour) createFederation(ctx context.Context) error {
	_, err := t.meshctl(ctx, t.east, "init")
	return err
}

func (t *tour) createTokens(ctx context.Context) error {
	for range 2 {
		t.screen.prompt(t.east.Name, "meshctl token create")
		stdout, stderr, err := t.east.MeshctlSplit(ctx, "token", "create")
		if err != nil {
			return err
		}
		token := strings.TrimSpace(stdout)
		t.screen.output(shorten(token))
		t.screen.output(firstLine(stderr))
		t.tokens = append(t.tokens, token)
	}
	return nil
}

func (t *tour) join(ctx context.Context) error {
	for i, dc := range []*harness.Datacenter{t.west, t.north} {
		t.screen.prompt(dc.Name, "meshctl join "+shorten(t.tokens[i]))
		out, err := dc.Meshctl(ctx, "join", t.tokens[i])
		t.screen.output(out)
		if err != nil {
			return errors.New("the join failed") // not err, which contains the token
		}
	}
	return nil
}

func (t *tour) showStatus(ctx context.Context) error {
	if err := harness.AwaitFederation(ctx, t.topology.Datacenters...); err != nil {
		return err
	}
	_, err := t.meshctl(ctx, t.west, "status")
	return err
}

func (t *tour) showTraffic(ctx context.Context) error {
	client, server := t.west.Workloads[0], t.east.Workloads[0]
	for _, pair := range []struct{ from, to netip.Addr }{
		{client.Pod, server.Pod}, {client.Pod, server.Service}, {client.Pod6, server.Pod6},
	} {
		url := harness.At(pair.to)
		answer, err := client.Host.Get(ctx, url)
		if err != nil {
			return err
		}
		t.screen.note("%s GET http://%s/ answered by %s, source address %s", client.Host.Name(), url, answer.Host, answer.Source.Addr())
		if answer.Host != server.Host.Name() || answer.Source.Addr() != pair.from {
			return fmt.Errorf("expected an answer of %s with source address %s", server.Host.Name(), pair.from)
		}
	}
	return nil
}

func (t *tour) showServices(ctx context.Context) error {
	web := t.east.Workloads[0].Service.String()
	if _, err := t.meshctl(ctx, t.east, "service", "register", "web", "--address", web, "--port", "http:8080"); err != nil {
		return err
	}
	return t.findService(ctx, t.north, web)
}

// findService lists the services in a datacenter; one must have the address.
func (t *tour) findService(ctx context.Context, dc *harness.Datacenter, address string) error {
	out, err := t.meshctl(ctx, dc, "services")
	if err == nil && !strings.Contains(out, address) {
		err = fmt.Errorf("no service in %[2]s has the address %[1]s", address, dc.Name)
	}
	return err
}

func (t *tour) showRoutes(ctx context.Context) error {
	out, err := t.meshctl(ctx, t.west, "routes", "-o", "wide")
	if err != nil {
		return err
	}
	for _, prefix := range []netip.Prefix{t.east.Pods, t.east.Services, t.north.Pods, t.north.Services} {
		if !strings.Contains(out, prefix.String()) {
			return fmt.Errorf("no route to %s", prefix)
		}
	}
	_, err = t.meshctl(ctx, t.west, "routes", t.east.Workloads[0].Pod.String())
	return err
}

// meshctl prints and runs a command on the gateway of a datacenter.
func (t *tour) meshctl(ctx context.Context, dc *harness.Datacenter, args ...string) (string, error) {
	t.screen.prompt(dc.Name, "meshctl "+strings.Join(args, " "))
	out, err := dc.Meshctl(ctx, args...)
	t.screen.output(out)
	return out, err
}

// printHints prints how to use the running federation.
func (t *tour) printHints(w io.Writer) {
	fmt.Fprintf(w, "\nThe federation runs until Ctrl-C. Enter a host from another terminal, for example:\n\n")
	for _, host := range t.lab.Hosts() {
		fmt.Fprintf(w, "    %-8s %s env PATH=%s:$PATH bash\n", host.Name(), host.Enter(), t.binDir())
	}
	fmt.Fprintf(w, "\nand run there: meshctl status; meshctl members; ip route show table 7117; nft list table inet meshway\n"+
		"on a workload: curl http://%s/\nlogs are in %s/HOST/*.log\n", harness.At(t.east.Workloads[0].Pod), t.lab.Dir())
}

// printLogs prints the last log lines of the agents after a failed step.
func (t *tour) printLogs() {
	if t.topology == nil {
		return
	}
	const lines = 12
	for _, dc := range t.topology.Datacenters {
		if dc.Agent == nil {
			continue
		}
		all := strings.Split(strings.TrimSpace(dc.Agent.Log()), "\n")
		t.screen.note("last log lines of meshd on %s:", dc.Name)
		t.screen.output(strings.Join(all[max(0, len(all)-lines):], "\n"))
	}
}

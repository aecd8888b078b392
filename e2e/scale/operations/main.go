// The program operations counts the statements that one operation of an agent executes
// for a federation of a size. It is built with go build -cover -covermode=atomic.
package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"runtime/coverage"
	"slices"
	"strconv"

	"github.com/meshway/meshway/agent/interference"
	"github.com/meshway/meshway/agent/liveness"
	"github.com/meshway/meshway/agent/liveness/livenesstest"
	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/agent/plan/gatewayplan"
	"github.com/meshway/meshway/agent/registrar"
	"github.com/meshway/meshway/agent/status"
	"github.com/meshway/meshway/agent/trust"
	"github.com/meshway/meshway/e2e/scale/workload"
	"github.com/meshway/meshway/routes"
	"github.com/meshway/meshway/routes/routestest"
	"github.com/meshway/meshway/tunnel"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "operations:", err)
		os.Exit(1)
	}
}

// run writes the counters of the operation args[0] at factor args[1] into the directory
// args[2].
func run(args []string) error {
	if len(args) != 3 {
		return errors.New("expected OPERATION FACTOR DIRECTORY")
	}
	factor, err := strconv.Atoi(args[1])
	if err != nil {
		return fmt.Errorf("read the factor: %w", err)
	}
	operation, err := prepare(args[0], factor)
	if err != nil {
		return err
	}
	if err := coverage.ClearCounters(); err != nil {
		return err
	}
	operation()
	if err := coverage.WriteCountersDir(args[2]); err != nil {
		return err
	}
	return coverage.WriteMetaDir(args[2])
}

// small returns a federation whose cost is measured at it and at twice the one number
// that an operation is about.
func small() workload.Size {
	return workload.Size{Datacenters: 16, Gateways: 2, Prefixes: 640, Services: 320, Endpoints: 1600}
}

func prepare(operation string, factor int) (func(), error) {
	size := small()
	switch operation {
	case "plan: prefixes", "plan: one datacenter", "plan: verdict", "status: prefixes", "routes: all", "routes: unchanged", "interference: prefixes",
		"routes report: prefixes", "applier: all", "applier: unchanged", "applier: one route", "verdict: prefixes":
		size.Prefixes *= factor
	case "plan: datacenters up", "plan: datacenters down", "status: datacenters", "tunnels: all", "interference: datacenters",
		"routes report: datacenters", "activity: datacenters",
		"verify: datacenters":
		size.Datacenters *= factor
		size.Prefixes *= factor
	case "registrar: own services":
		size.Services *= factor
		size.Endpoints *= factor
	case "registrar: services of others":
	default:
		return nil, fmt.Errorf("unknown operation %q", operation)
	}
	return closure(operation, size, factor)
}

func closure(operation string, size workload.Size, factor int) (func(), error) {
	in := size.Inputs(operation != "plan: datacenters down")
	// As many observations for each gateway, however many observe it.
	in.Catalog.Observations = in.Catalog.Observations[:4*len(in.Catalog.Gateways)-4*size.Gateways]
	desired, _ := gatewayplan.Compute(in)
	switch operation {
	case "plan: one datacenter", "plan: verdict":
		return planned(operation, in), nil
	case "status: prefixes", "status: datacenters":
		sources := size.Sources()
		sources.Inputs.Catalog.Observations = in.Catalog.Observations
		return func() { status.Build(sources) }, nil
	case "routes: all":
		return func() { routes.Diff(desired.Routes, routes.Observed{}, true) }, nil
	case "routes: unchanged":
		have := routes.Observed{Config: desired.Routes}
		return func() { routes.Diff(desired.Routes, have, true) }, nil
	case "interference: prefixes", "interference: datacenters":
		return func() { interferences(in, desired) }, nil
	case "routes report: prefixes", "routes report: datacenters":
		sources := status.RouteSources{Inputs: in, Desired: desired, Observed: routes.Observed{Config: desired.Routes}}
		return func() { status.BuildRoutes(sources) }, nil
	case "applier: all", "applier: unchanged", "applier: one route", "verdict: prefixes":
		return applied(operation, in, desired.Routes)
	case "verify: datacenters":
		return verification(size)
	case "activity: datacenters":
		return activity(desired), nil
	case "tunnels: all":
		return func() { tunnel.Diff(desired.Tunnels[0], tunnel.Observed{}, tunnel.PrivateKey{}) }, nil
	case "registrar: own services", "registrar: services of others":
		c, err := workload.NewCopy(size)
		if err != nil {
			return nil, err
		}
		own := c.Desired()
		if operation == "registrar: services of others" && factor > 1 {
			if err := c.Apply(size.MoreOfOthers()...); err != nil {
				return nil, err
			}
		}
		view := c.View()
		return func() { own.Missing(view, registrar.Unsigned{}) }, nil
	}
	return func() { gatewayplan.Compute(in) }, nil
}

// planned returns a plan after one change.
func planned(operation string, in plan.Inputs) func() {
	_, _, memo := gatewayplan.Memo{}.Compute(in)
	if operation == "plan: one datacenter" {
		in = workload.OneDatacenterChanged(in)
	} else {
		in.Observed.Sessions = slices.Clone(in.Observed.Sessions)
		in.Observed.Sessions[0].Up = false
	}
	return func() { memo.Compute(in) }
}

// verification returns that of all records after a restart.
func verification(size workload.Size) (func(), error) {
	have, err := size.Signed()
	if err != nil {
		return nil, err
	}
	ledger := trust.Judge(size.Self(), trust.Ledger{FederationID: have.Federation.ID}, have).Ledger
	return func() { trust.Judge(size.Self(), ledger, have) }, nil
}

// applied returns an application of routes, or of a verdict.
func applied(operation string, in plan.Inputs, want routes.Config) (func(), error) {
	ctx := context.Background()
	k := routestest.NewKernel("eth0", "mesh0", "mesh1")
	k.AddLink("eth0", in.Host.Links[0].Prefixes[0])
	a := routes.Applier{Kernel: k}
	if operation != "applier: all" {
		if _, err := a.Apply(ctx, want, true); err != nil {
			return nil, err
		}
	}
	switch operation {
	case "applier: one route":
		want.Routes = slices.Delete(slices.Clone(want.Routes), 1, 2)
	case "verdict: prefixes":
		in.Observed.Sessions = slices.Clone(in.Observed.Sessions)
		in.Observed.Sessions[0].Up = false
		a.Groups = func(c routes.Config) []routes.Group { return gatewayplan.Regroup(in, c) }
		return func() { must(a.Regroup(ctx)) }, nil
	}
	return func() {
		_, err := a.Update(ctx, want, true)
		must(err)
	}, nil
}

// activity returns what a pass reports of the bytes that each peer has sent.
func activity(desired plan.Desired) func() {
	monitor := liveness.New(liveness.Config{Network: livenesstest.New(1)})
	monitor.Set(desired.Sessions)
	return func() {
		received := map[tunnel.PublicKey]uint64{}
		for _, s := range desired.Sessions {
			received[s.Key] = 1
		}
		monitor.Activity(received)
	}
}

// must ends the program if what is counted has failed.
func must(err error) {
	if err != nil {
		panic(err)
	}
}

// interferences is what a pass calculates to find programs that drop or divert packets.
func interferences(in plan.Inputs, desired plan.Desired) {
	own := in.Catalog.Datacenters[0].Prefixes
	in.Host.Links = append(slices.Clone(in.Host.Links), plan.Link{Device: "pods", Prefixes: []netip.Prefix{own[0].CIDR}})
	paths := interference.Paths{
		Config: in.Config, Host: in.Host, Own: own,
		Datacenters: in.Catalog.Datacenters[1:], Routed: desired.Firewall.Remote, Sessions: desired.Sessions,
	}
	paths.Queries()
	filters := interference.Filters{Paths: paths, Tunnels: in.Observed.Tunnels, Firewall: desired.Firewall}
	filters.Problems()
}

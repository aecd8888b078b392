package routes_test

import (
	"context"
	"fmt"
	"net/netip"

	"github.com/meshway/meshway/routes"
	"github.com/meshway/meshway/routes/routestest"
)

// exampleConfig returns a configuration with two lanes to one datacenter.
func exampleConfig() routes.Config {
	lane0, lane1 := routes.LaneNexthopID(0, routes.IPv4), routes.LaneNexthopID(1, routes.IPv4)
	group := routes.GroupID(0, routes.IPv4)
	return routes.Config{
		Table: routes.DefaultTable,
		Nexthops: []routes.Nexthop{
			{ID: lane0, Family: routes.IPv4, Device: "mesh0"},
			{ID: lane1, Family: routes.IPv4, Device: "mesh1"},
		},
		Groups: []routes.Group{{ID: group, Family: routes.IPv4, Members: []uint32{lane0, lane1}}},
		Routes: []routes.Route{{Prefix: netip.MustParsePrefix("10.2.0.0/16"), Nexthop: group}},
	}
}

func ExampleDiff() {
	want := exampleConfig()
	fmt.Print(routes.Diff(want, routes.Observed{}, true))

	// The gateway on lane 0 fails: one group changes, for any number of routes.
	have := routes.Observed{Config: want}
	want = exampleConfig()
	want.Groups[0].Members = want.Groups[0].Members[1:]
	fmt.Print("\n", routes.Diff(want, have, true))
	// Output:
	// ip nexthop add id 0x4d570002 dev mesh0 protocol 157
	// ip nexthop add id 0x4d570004 dev mesh1 protocol 157
	// ip nexthop add id 0x4d570100 group 0x4d570002/0x4d570004 protocol 157
	// ip route add 10.2.0.0/16 nhid 0x4d570100 table 7117 proto 157
	//
	// ip nexthop replace id 0x4d570100 group 0x4d570004 protocol 157
}

// dryRun is a Kernel that reads from another one, and prints changes instead of
// applying them.
type dryRun struct{ routes.Kernel }

func (dryRun) Apply(_ context.Context, change routes.Change) error {
	fmt.Print(change)
	return nil
}

func ExampleKernel() {
	ctx, kernel := context.Background(), routestest.NewKernel("mesh0", "mesh1")
	applier := routes.Applier{Kernel: kernel}
	if _, err := applier.Apply(ctx, exampleConfig(), true); err != nil {
		fmt.Println(err)
	}

	preview := routes.Applier{Kernel: dryRun{kernel}}
	if _, err := preview.Apply(ctx, routes.Config{Table: routes.DefaultTable}, true); err != nil {
		fmt.Println(err)
	}
	// Output:
	// ip route del 10.2.0.0/16 nhid 0x4d570100 table 7117 proto 157
	// ip nexthop del id 0x4d570100
	// ip nexthop del id 0x4d570002
	// ip nexthop del id 0x4d570004
}

package routes_test

import (
	"fmt"
	"net/netip"

	"github.com/meshway/meshway/routes"
)

func ExampleDiff() {
	group := routes.GroupID(0, routes.IPv4)
	want := routes.Config{
		Table:    routes.DefaultTable,
		Nexthops: []routes.Nexthop{{ID: routes.LaneNexthopID(0, routes.IPv4), Family: routes.IPv4, Device: "mesh0"}},
		Groups:   []routes.Group{{ID: group, Family: routes.IPv4, Members: []uint32{routes.LaneNexthopID(0, routes.IPv4)}}},
		Routes:   []routes.Route{{Prefix: netip.MustParsePrefix("10.2.0.0/16"), Nexthop: group}},
	}
	fmt.Print(routes.Diff(want, routes.Observed{}, true))
	// Output:
	// ip nexthop add id 0x4d570002 dev mesh0 protocol 157
	// ip nexthop add id 0x4d570100 group 0x4d570002 protocol 157
	// ip route add 10.2.0.0/16 nhid 0x4d570100 table 7117 proto 157
}

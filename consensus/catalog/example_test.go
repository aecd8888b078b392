package catalog_test

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/meshway/meshway/consensus/catalog"
)

// What raft does to the state: it applies entries of the log, each with its
// index. A member that may not write what it wants to is told why.
func ExampleState_Apply() {
	state := catalog.New()

	federation := catalog.Federation{
		ID: "123e4567-e89b-12d3-a456-426614174000", Name: "demo", Overlay: netip.MustParsePrefix("fd12:3456:789a::/48"),
	}
	east := catalog.Datacenter{
		Name: "east", CACertificate: certificate(&testing.B{}, "east", true),
		Prefixes: []catalog.Prefix{{CIDR: netip.MustParsePrefix("10.1.0.0/16"), Kind: catalog.PodPrefix}},
	}
	gateway := catalog.Gateway{Datacenter: "east", Name: "gw0", PublicKey: catalog.Key{1}}
	web := catalog.Service{
		ServiceKey: catalog.ServiceKey{Datacenter: "east", Namespace: "default", Name: "web", Instance: "web-0"},
		Address:    netip.MustParseAddr("10.2.0.9"),
	}

	initialize := catalog.NewInit(federation, east, gateway)
	register := catalog.NewPutServices([]catalog.Service{web})
	initialize.Author, register.Author = "east/gw0", "east/gw0"
	initialize.At = timestamppb.New(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))
	register.At = initialize.At
	entry, err := catalog.Marshal(initialize, register)
	if err != nil {
		fmt.Println(err)
		return
	}

	results, err := state.Apply(1, entry)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(results[0].Gateway.ID(), results[0].Gateway.Overlay)
	fmt.Println(results[1].Refusal)
	fmt.Println(len(state.View().Services(catalog.ServiceFilter{})), "services")
	// Output:
	// east/gw0 fd12:3456:789a:1::1
	// services[0].address: "10.2.0.9" is not in the prefixes of east; use an address of 10.1.0.0/16, or announce its prefix
	// 0 services
}

package replica_test

import (
	"bytes"
	"fmt"
	"log"
	"net/netip"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/catalogpb"
	"github.com/meshway/meshway/consensus/catalog/replica"
)

// initialize returns the command that creates a federation of the datacenter east
// with one gateway.
func initialize() *catalogpb.Command {
	ca, err := selfSign("east", "east", true)
	if err != nil {
		log.Fatal(err)
	}
	return catalog.NewInit(
		catalog.Federation{
			ID:      "123e4567-e89b-12d3-a456-426614174000",
			Name:    "demo",
			Overlay: netip.MustParsePrefix("fd12:3456:789a::/48"),
		},
		catalog.Datacenter{
			Name:          "east",
			CACertificate: ca,
			Prefixes:      []catalog.Prefix{{CIDR: netip.MustParsePrefix("10.1.0.0/16"), Kind: catalog.PodPrefix}},
		},
		catalog.Gateway{Datacenter: "east", Name: "gw0", PublicKey: catalog.Key{1}},
	)
}

// registerService returns the command that registers one instance of the service web.
func registerService(instance, address string) *catalogpb.Command {
	return catalog.NewPutServices([]catalog.Service{{
		ServiceKey: catalog.ServiceKey{Datacenter: "east", Namespace: "default", Name: "web", Instance: instance},
		Address:    netip.MustParseAddr(address),
		Ports:      []catalog.Port{{Name: "http", Protocol: "tcp", Number: 80}},
	}})
}

// marshal sets author and time of the commands, as the member that proposes them
// does, and encodes them as one log entry.
func marshal(commands ...*catalogpb.Command) []byte {
	for _, c := range commands {
		c.Author = "east/gw0"
		c.At = timestamppb.New(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))
	}
	entry, err := catalog.Marshal(commands...)
	if err != nil {
		log.Fatal(err)
	}
	return entry
}

// A write is a command in an entry of the raft log. Every member applies the entries
// in the order of the log and reads the state through views.
func Example() {
	state := replica.New()

	results, err := state.Apply(1, marshal(initialize()))
	if err != nil {
		log.Fatal(err) // the member must stop: it cannot apply the log
	}
	fmt.Println("created by", results[0].Gateway.ID(), "with overlay address", results[0].Gateway.Overlay)

	before := state.View()
	changed := state.Changed()
	if _, err := state.Apply(2, marshal(registerService("web-0", "10.1.0.5"), registerService("web-1", "10.1.0.6"))); err != nil {
		log.Fatal(err)
	}
	<-changed // closed, because the state has changed

	after := state.View()
	for _, s := range after.Services(replica.ServiceFilter{Name: "web"}) {
		fmt.Println(s.Name, s.Instance, s.Address, "owned by", s.Owner)
	}
	fmt.Println("index", before.Index(), "has", len(before.Services(replica.ServiceFilter{})), "services")
	fmt.Println("index", after.Index(), "has", len(after.Services(replica.ServiceFilter{})), "services")
	// Output:
	// created by east/gw0 with overlay address fd12:3456:789a:1::1
	// web web-0 10.1.0.5 owned by east/gw0
	// web web-1 10.1.0.6 owned by east/gw0
	// index 1 has 0 services
	// index 2 has 2 services
}

// A command that breaks a rule is refused, with a stable code, and changes nothing.
// The other commands of its entry are applied.
func ExampleState_Apply() {
	state := replica.New()
	results, err := state.Apply(1, marshal(initialize(), registerService("web-0", "10.2.0.9"), registerService("web-1", "10.1.0.6")))
	if err != nil {
		log.Fatal(err)
	}
	for _, r := range results {
		if r.Refusal == nil {
			fmt.Println("applied")
			continue
		}
		fmt.Println("refused:", r.Refusal.Code)
		fmt.Println("   field:", r.Refusal.Field)
		fmt.Println(" message:", r.Refusal.Message)
		fmt.Println("  remedy:", r.Refusal.Remedy)
	}
	// Output:
	// applied
	// refused: address-foreign
	//    field: services[0].address
	//  message: address "10.2.0.9" is not in the prefixes of datacenter east
	//   remedy: use an address of 10.1.0.0/16, or announce its prefix
	// applied
}

// A snapshot replaces the start of the log: a member that restores it continues with
// the next entry.
func ExampleState_Restore() {
	state := replica.New()
	if _, err := state.Apply(1, marshal(initialize())); err != nil {
		log.Fatal(err)
	}
	var snapshot bytes.Buffer
	if err := state.View().Encode(&snapshot); err != nil {
		log.Fatal(err)
	}

	restored := replica.New()
	if err := restored.Restore(&snapshot); err != nil {
		log.Fatal(err)
	}
	if _, err := restored.Apply(2, marshal(registerService("web-0", "10.1.0.5"))); err != nil {
		log.Fatal(err)
	}
	view := restored.View()
	federation, _ := view.Federation()
	fmt.Println("federation", federation.Name, "at index", view.Index())
	// Output: federation demo at index 2
}

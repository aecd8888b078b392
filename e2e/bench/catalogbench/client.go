//go:build linux

package catalogbench

import (
	"context"
	"fmt"
	"sync"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/meshway/meshway/agent/control"
	"github.com/meshway/meshway/agent/identity"
	"github.com/meshway/meshway/agent/member"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/catalogpb"
	"github.com/meshway/meshway/consensus/raftnode"
)

// client calls the leader as another gateway does, by RPC with TLS, from a process that
// is no member. It has the certificate of one.
type client struct {
	number   int
	calls    *control.Client
	to       catalog.GatewayID
	sequence sequence
}

func newClient(as memberConfig, all [members]memberConfig) (*client, error) {
	cas := make(map[catalog.DatacenterName][][]byte)
	addresses := make(map[catalog.GatewayID][]string)
	var own *identity.CA
	var federation string
	for _, cfg := range all {
		name := catalog.DatacenterName(nameOf(cfg.Number))
		store, err := identity.Open(cfg.store())
		if err != nil {
			return nil, err
		}
		defer store.Close()
		ca, err := store.CA(name, time.Now())
		if err != nil {
			return nil, err
		}
		membership, _, err := store.Membership()
		if err != nil {
			return nil, err
		}
		federation = membership.FederationID
		cas[name], addresses[catalog.NewGatewayID(name, gatewayName)] = [][]byte{ca.Certificate()}, []string{cfg.Listen.String()}
		if cfg.Number == as.Number {
			own = ca
		}
	}
	certifier := identity.NewCertifier(own, gatewayName, nil)
	certifier.SetFederation(federation)
	anyGateway := func(catalog.GatewayID) bool { return true }
	port := control.New(control.Config{
		Listen: as.Listen, Certifier: certifier, Gateways: anyGateway, Replicates: anyGateway, Sockets: loopback{}, Sentinels: member.Sentinels(),
		CAs:       func(dc catalog.DatacenterName) [][]byte { return cas[dc] },
		Addresses: func(id catalog.GatewayID) []string { return addresses[id] },
		Changed:   func() <-chan struct{} { return nil },
	})
	first := raftnode.FirstSequence(time.Now())
	return &client{
		number: as.Number, calls: port.Client(),
		to:       catalog.NewGatewayID(catalog.DatacenterName(nameOf(leading)), gatewayName),
		sequence: sequence{last: first, acknowledged: first, running: make(map[uint64]bool)},
	}, nil
}

// write registers one service.
func (c *client) write(ctx context.Context, _, n int) error {
	return c.put(ctx, []catalog.Service{serviceOf(c.number, n, stamp())})
}

// batch registers several services in one call.
func (c *client) batch(ctx context.Context, _, n int) error {
	return c.put(ctx, batchOf(c.number, n*batchSize, batchSize, stamp()))
}

func (c *client) put(ctx context.Context, services []catalog.Service) error {
	command := catalog.NewPutServices(services)
	end := c.sequence.begin(command)
	defer end()
	results, err := c.calls.Apply(ctx, c.to, []*catalogpb.Command{command})
	if err != nil {
		return fmt.Errorf("write by RPC: %w", err)
	}
	return refusalOf(results)
}

// sequence numbers the commands of a client as a member does.
type sequence struct {
	mu           sync.Mutex // guards all following fields
	last         uint64
	acknowledged uint64
	running      map[uint64]bool
}

// begin stamps a command, whose result is needed until end is called.
func (s *sequence) begin(command *catalogpb.Command) (end func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last++
	number := s.last
	s.running[number] = true
	command.Client, command.Sequence, command.Acknowledged, command.At = "bench", number, s.acknowledged, timestamppb.Now()
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.running, number)
		for s.acknowledged < s.last && !s.running[s.acknowledged+1] {
			s.acknowledged++
		}
	}
}

package member

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/meshway/meshway/agent/control/controlpb"
	"github.com/meshway/meshway/agent/notify"
	"github.com/meshway/meshway/consensus/catalog"
)

const (
	// copyTimeout bounds the search for another host that runs this gateway, and
	// searchTimeout the part of it that another gateway does. The own addresses of a
	// host answer at once while its control port is closed.
	copyTimeout, searchTimeout = 2 * time.Second, time.Second
	// copyInterval is the time between two searches while there are signs of a copy.
	copyInterval = 2 * time.Second
	// At most maxWitnesses gateways search, and enoughWitnesses that find nothing
	// suffice. Each tries maxSearched addresses.
	maxWitnesses, enoughWitnesses, maxSearched = 5, 2, 8
)

// CopyError reports that another host runs this gateway, and did so before this one.
type CopyError struct {
	Gateway catalog.GatewayID
	Address string            // at which it answers
	Witness catalog.GatewayID // to which it answers there; empty: to this host
}

// Error names the other host and the remedy.
func (e *CopyError) Error() string {
	where := "at " + e.Address
	if e.Witness != "" {
		where = fmt.Sprintf("gateway %s at %s", e.Witness, e.Address)
	}
	return fmt.Sprintf("gateway %s already runs on another host, which answers %s with the same key; "+
		"stop meshd there if that host is the copy, or else remove dataDir here and join as a gateway of its own", e.Gateway, where)
}

// RefuseCopy returns a *CopyError, and closes the member, if another host runs this
// gateway: that one has the same key, and each packet would reach one of them. It
// is called before Run, while nothing on this host answers at the addresses of the
// gateway. Other gateways search too, because the hosts may not reach each other.
// AwaitCopy finds a host that is out of reach now.
func (m *Member) RefuseCopy(ctx context.Context) error {
	id := m.file.GatewayID()
	own, ok := m.node.View().Gateway(id)
	if !ok {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, copyTimeout)
	defer cancel()
	var direct *CopyError
	var search sync.WaitGroup
	search.Go(func() {
		ctx, cancelSearch := context.WithTimeout(ctx, searchTimeout)
		defer cancelSearch()
		if address, answers := m.port.Answers(ctx, id, own.Controls); answers {
			direct = &CopyError{Gateway: id, Address: address}
			cancel()
		}
	})
	found := m.findCopy(ctx, func(*controlpb.IdentifyResponse) bool { return true })
	if found != nil {
		cancel()
	}
	search.Wait()
	if direct != nil {
		found = direct
	}
	if found == nil {
		return nil
	}
	return errors.Join(found, m.close())
}

// AwaitCopy searches for another host that runs this gateway while signs reports that
// there may be one. It returns a *CopyError once it found one that began before this
// one, and nil when ctx ends.
func (m *Member) AwaitCopy(ctx context.Context, signs func() bool) error {
	var found *CopyError
	notify.LoopUntil(ctx, copyInterval, func(ctx context.Context) bool {
		if !signs() {
			return false
		}
		ctx, cancel := context.WithTimeout(ctx, copyTimeout)
		defer cancel()
		found = m.findCopy(ctx, m.process.newerThan)
		return found != nil
	})
	if found == nil {
		return nil
	}
	return found
}

// findCopy returns another process of this gateway that match accepts, if other gateways
// find one; nil: none. The process has signed a challenge of this call,
// so that no other gateway can invent one, and none that has ended is found.
func (m *Member) findCopy(ctx context.Context, match func(*controlpb.IdentifyResponse) bool) *CopyError {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	id := m.file.GatewayID()
	challenge := make([]byte, challengeSize)
	_, _ = rand.Read(challenge) // never fails
	request := &controlpb.FindCopiesRequest{Challenge: challenge, Process: []byte(m.process.id)}
	var mu sync.Mutex
	var found *CopyError
	answered := 0
	consider := func(witness catalog.GatewayID, response *controlpb.FindCopiesResponse) {
		mu.Lock()
		defer mu.Unlock()
		for _, c := range response.GetCopies() {
			valid := m.process.verify(m.authorities(id.Datacenter()), m.certifier.Federation(), id, challenge, c.GetIdentity())
			if found == nil && valid == nil && match(c.GetIdentity()) {
				found = &CopyError{Gateway: id, Address: c.GetAddress(), Witness: witness}
			}
		}
		if answered++; found != nil || answered == enoughWitnesses {
			cancel()
		}
	}
	var searches errgroup.Group
	for _, witness := range m.witnesses() {
		searches.Go(func() error {
			if response, err := m.port.Client().FindCopies(ctx, witness, request); err == nil {
				consider(witness, response)
			}
			return nil
		})
	}
	_ = searches.Wait() // no search returns an error
	return found
}

// witnesses returns gateways that may reach another host that runs this one: first
// those of other datacenters, which have tunnels to it, in random order.
func (m *Member) witnesses() []catalog.GatewayID {
	var others, siblings []catalog.GatewayID
	for _, g := range m.node.View().Gateways() {
		switch {
		case g.Datacenter != m.file.Datacenter:
			others = append(others, g.ID())
		case g.Name != m.file.Gateway:
			siblings = append(siblings, g.ID())
		}
	}
	for _, list := range [][]catalog.GatewayID{others, siblings} {
		mathrand.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	}
	all := append(others, siblings...)
	return all[:min(len(all), maxWitnesses)]
}

// Identify implements control.Copies.
func (s *service) Identify(challenge []byte) (*controlpb.IdentifyResponse, error) {
	certificate, err := s.member.certifier.Certificate()
	if err != nil {
		return nil, err
	}
	return s.member.process.identify(certificate, s.member.certifier.Federation(), s.member.file.GatewayID(), challenge)
}

// FindCopies implements control.Copies. It returns the first process that answers, other
// than the caller.
func (s *service) FindCopies(ctx context.Context, from catalog.GatewayID, request *controlpb.FindCopiesRequest) (*controlpb.FindCopiesResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, searchTimeout)
	defer cancel()
	addresses := s.member.addresses(from)
	answers := make(chan *controlpb.FindCopiesResponse_Copy, maxSearched)
	var searches sync.WaitGroup
	for _, address := range addresses[:min(len(addresses), maxSearched)] {
		searches.Go(func() {
			identity, err := s.member.port.Identify(ctx, from, address, request.GetChallenge())
			if err == nil && string(identity.GetProcess()) != string(request.GetProcess()) {
				answers <- &controlpb.FindCopiesResponse_Copy{Address: address, Identity: identity}
				cancel()
			}
		})
	}
	searches.Wait()
	close(answers)
	response := &controlpb.FindCopiesResponse{}
	for c := range answers {
		response.Copies = append(response.Copies, c)
	}
	return response, nil
}

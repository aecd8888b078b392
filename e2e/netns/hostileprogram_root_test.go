//go:build linux && root

package netns_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/meshway/meshway/agent/control"
	"github.com/meshway/meshway/agent/control/controlpb"
	"github.com/meshway/meshway/agent/identity"
	"github.com/meshway/meshway/agent/member"
	"github.com/meshway/meshway/consensus"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/catalogpb"
	"github.com/meshway/meshway/consensus/raftnode/raftnodetest"
	"github.com/meshway/meshway/e2e/harness"
)

// hostile is a program with the CA key of one datacenter, on the host of its gateway.
// It can issue a certificate for any gateway of that datacenter.
type hostile struct {
	dc         *harness.Datacenter
	ca         *identity.CA
	id         catalog.GatewayID // in the certificate
	port       *control.Port
	commands   uint64 // sent so far
	secret     identity.Secret
	token      string // the id of an unused token
	topology   *harness.Topology
	ids        map[*harness.Datacenter]catalog.GatewayID
	cas        map[catalog.DatacenterName][]byte
	federation string
	management *harness.Host  // behind the first gateway; nil: there is none
	number     byte           // of a datacenter that was admitted
	announced  []netip.Prefix // in addition to those of the datacenter, at some time
}

// sockets opens the connections of the program on its host.
type sockets struct{ host *harness.Host }

func (s sockets) Listen(ctx context.Context, at netip.AddrPort, _ control.Path) (l net.Listener, err error) {
	err = s.host.Do(func() error {
		l, err = new(net.ListenConfig).Listen(ctx, "tcp", at.String())
		return err
	})
	return l, err
}

func (s sockets) Dial(ctx context.Context, address string) (net.Conn, error) {
	return s.host.DialContext(ctx, "tcp", address)
}

func controlOf(dc *harness.Datacenter) string {
	return net.JoinHostPort(dc.Underlay.Addr().String(), "7443")
}

// newHostile reads the keys of the last datacenter from the files of its agent.
func newHostile(t *testing.T, topology *harness.Topology) *hostile {
	t.Helper()
	h := &hostile{
		dc: topology.Datacenters[len(topology.Datacenters)-1], topology: topology,
		ids: map[*harness.Datacenter]catalog.GatewayID{}, cas: map[catalog.DatacenterName][]byte{},
	}
	for _, dc := range topology.Datacenters {
		snapshot, err := dc.Status(t.Context())
		require.NoError(t, err)
		h.ids[dc] = catalog.GatewayID(snapshot.Self.ID)
		ca := caOf(t, dc)
		h.cas[catalog.DatacenterName(dc.Name)] = ca.Certificate()
		if dc == h.dc {
			h.ca = ca
		}
	}
	text, err := identity.ParseToken(token(t, topology.Datacenters[0]))
	require.NoError(t, err)
	h.token, h.secret, h.federation = text.ID, text.Secret, text.FederationID
	h.as(t, h.ids[h.dc])
	return h
}

func caOf(t *testing.T, dc *harness.Datacenter) *identity.CA {
	t.Helper()
	certificate, err := dc.Gateway.ReadFile("/var/lib/meshway/ca.crt")
	require.NoError(t, err)
	key, err := dc.Gateway.ReadFile("/var/lib/meshway/ca.key")
	require.NoError(t, err)
	ca, err := identity.DecodeCA(catalog.DatacenterName(dc.Name), certificate, identity.CAKeyOf(key))
	require.NoError(t, err)
	return ca
}

// as makes the program act as a gateway of its datacenter.
func (h *hostile) as(t *testing.T, id catalog.GatewayID) {
	t.Helper()
	peer, err := identity.ParsePeer(id)
	require.NoError(t, err)
	certifier := identity.NewCertifier(h.ca, peer.Gateway, nil)
	certifier.SetFederation(h.federation)
	always := func(catalog.GatewayID) bool { return true }
	h.id = id
	h.port = control.New(control.Config{
		Certifier: certifier, Sockets: sockets{h.dc.Gateway}, Gateways: always, Replicates: always, Sentinels: member.Sentinels(),
		CAs: func(dc catalog.DatacenterName) [][]byte { return [][]byte{h.cas[dc]} },
		Addresses: func(to catalog.GatewayID) []string {
			return []string{controlOf(h.topology.Datacenter(string(to.Datacenter())))}
		},
	})
}

// honest returns the other datacenters.
func (h *hostile) honest() []*harness.Datacenter {
	return h.topology.Datacenters[:len(h.topology.Datacenters)-1]
}

// apply sends commands to the honest gateways until the leader has answered, and returns
// its results.
func (h *hostile) apply(t *testing.T, commands ...*catalogpb.Command) (results []catalog.Result, refused error) {
	t.Helper()
	refused = h.callLeader(t, func(ctx context.Context, to catalog.GatewayID) (err error) {
		answered, client := h.commands, string(h.id)+"#hostile"
		for _, c := range commands {
			h.commands++
			c.Author = string(h.id)
			if c.GetAt() == nil {
				c.At = timestamppb.Now()
			}
			if c.GetClient() == "" || c.GetClient() == client {
				c.Client, c.Acknowledged = client, answered
			}
			c.Sequence = h.commands
		}
		results, err = h.port.Client().Apply(ctx, to, commands)
		return err
	})
	return results, refused
}

// requireRefused sends commands, of which the leader must refuse each.
func (h *hostile) requireRefused(t *testing.T, commands ...*catalogpb.Command) {
	t.Helper()
	results, refused := h.apply(t, commands...)
	if refused != nil {
		return // the whole call
	}
	for i, r := range results {
		assert.NotNil(t, r.Refusal, "%T was accepted", commands[i].GetBody())
	}
}

// requireRejected sends an operation of the leader, which must reject it.
func (h *hostile) requireRejected(t *testing.T, operation *controlpb.LeaderOperationRequest) {
	t.Helper()
	assert.Error(t, h.operate(t, operation), "%T was executed", operation.GetOperation())
}

// operate sends an operation of the leader, and returns its error.
func (h *hostile) operate(t *testing.T, operation *controlpb.LeaderOperationRequest) error {
	t.Helper()
	return h.callLeader(t, func(ctx context.Context, to catalog.GatewayID) error {
		return h.port.Client().LeaderOperation(ctx, to, operation)
	})
}

// callLeader calls the honest gateways in turn until one has answered as the leader, and
// returns its error.
func (h *hostile) callLeader(t *testing.T, call func(ctx context.Context, to catalog.GatewayID) error) error {
	t.Helper()
	var answer error
	eventually(t, timeout, "the leader answers", func(ctx context.Context) error {
		err := errors.New("there is no honest gateway")
		for _, dc := range h.honest() {
			answer = call(ctx, h.ids[dc])
			if err = answer; !errors.Is(err, consensus.ErrNotLeader) && !errors.Is(err, consensus.ErrNoLeader) && !isUnreachable(err) {
				return nil
			}
		}
		return err
	})
	return answer
}

func isUnreachable(err error) bool {
	_, ok := errors.AsType[*control.UnreachableError](err)
	return ok
}

// forge sends raft messages to each honest gateway in the name of a gateway.
func (h *hostile) forge(t *testing.T, name catalog.GatewayID, term uint64) {
	t.Helper()
	forger := raftnodetest.NewForger(name, 5*time.Second, func(ctx context.Context, to catalog.GatewayID) (net.Conn, error) {
		return h.port.Raft().Dial(ctx, to, controlOf(h.topology.Datacenter(string(to.Datacenter()))))
	})
	defer func() { assert.NoError(t, forger.Close()) }()
	for kind, send := range forger.Forgeries(term) {
		for _, dc := range h.honest() {
			assert.Error(t, send(h.ids[dc]), "%s of %s in the name of %s", kind, h.id, name)
		}
	}
}

// heldConnections are those that the program holds open.
type heldConnections struct {
	opened int
	closed atomic.Int32 // by the other end
}

// keep reads what arrives until the other end closes a connection.
func (c *heldConnections) keep(t *testing.T, conn net.Conn) {
	c.opened++
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = io.Copy(io.Discard, conn)
		c.closed.Add(1)
	}()
	t.Cleanup(func() {
		_ = conn.Close()
		<-done
	})
}

// awaitClosed waits until the other end has closed all connections but some.
func (c *heldConnections) awaitClosed(t *testing.T, by *harness.Datacenter, but int) {
	t.Helper()
	require.Greater(t, c.opened, but)
	eventually(t, timeout, by.Name+" has closed most of the connections", func(context.Context) error {
		if open := c.opened - int(c.closed.Load()); open > but {
			return fmt.Errorf("%d of %d are open", open, c.opened)
		}
		return nil
	})
}

// hold opens silent connections to a control port, half of them with a handshake, and
// returns those that the host has accepted.
func (h *hostile) hold(t *testing.T, to *harness.Datacenter, n int) *heldConnections {
	t.Helper()
	held := new(heldConnections)
	for i := range n {
		conn, err := h.dc.Gateway.DialContext(within(t, timeout), "tcp", controlOf(to))
		if err != nil {
			continue // the port is full for this source
		}
		if i%2 == 1 { // the first bytes of a handshake, which is then not continued
			_, _ = conn.Write([]byte{22, 3, 1})
		}
		held.keep(t, conn)
	}
	return held
}

// streams opens streams of raft that carry nothing, one after another.
func (h *hostile) streams(t *testing.T, to *harness.Datacenter, n int) *heldConnections {
	t.Helper()
	held := new(heldConnections)
	for range n {
		conn, err := h.port.Raft().Dial(within(t, timeout), h.ids[to], controlOf(to))
		require.NoError(t, err)
		held.keep(t, conn)
	}
	return held
}

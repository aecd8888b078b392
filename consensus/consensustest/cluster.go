package consensustest

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/raftnode"
)

// Options configure a cluster. The zero value means one gateway in each
// datacenter, LAN timers and no logs.
type Options struct {
	Timers            raftnode.Timers
	SnapshotThreshold uint64
	ProposeTimeout    time.Duration
	LogStore          raftnode.LogStore                     // empty: the default
	PerDatacenter     int                                   // gateways in each datacenter; 0: 1
	Host              func(catalog.GatewayID) raftnode.Host // of each node; nil: the default
	Log               *slog.Logger
}

// Cluster is a federation of nodes on one network.
type Cluster struct {
	Network *Network
	Members []*Member

	t    testing.TB
	opts Options
	dir  string
}

// Member is one gateway of a cluster and its node.
type Member struct {
	ID   catalog.GatewayID
	Dir  string
	Node *raftnode.Node // the last one opened

	cluster *Cluster
	cancel  context.CancelFunc
	ended   chan error // nil while the node does not run
}

// New creates a federation of n gateways and waits until all are members and the
// voters are as planned. It is stopped when the test ends.
func New(t testing.TB, n int, opts Options) *Cluster {
	t.Helper()
	c := &Cluster{Network: NewNetwork(), t: t, opts: opts, dir: TempDir(t)}
	t.Cleanup(c.Stop) // before the directory is removed
	per := max(opts.PerDatacenter, 1)
	for i := range n {
		c.add(DatacenterName(i/per), fmt.Sprintf("gw%d", i%per))
	}
	first := c.Members[0]
	first.Open()
	require.NoError(t, first.Node.Bootstrap())
	first.Start()
	c.must(NewInit(DatacenterName(0), "gw0"))
	for _, m := range c.Members[1:] {
		c.Admit(m)
		m.Open()
		m.Start()
	}
	c.WaitVoters(PlannedVoters(n))
	c.WaitEqual()
	return c
}

// PlannedVoters returns how many of n healthy members get a vote.
func PlannedVoters(n int) int {
	n = min(n, 5)
	if n%2 == 0 {
		n--
	}
	return n
}

func (c *Cluster) add(dc catalog.DatacenterName, gateway string) *Member {
	id := catalog.NewGatewayID(dc, gateway)
	m := &Member{ID: id, Dir: filepath.Join(c.dir, string(dc), gateway), cluster: c}
	c.Members = append(c.Members, m)
	return m
}

// Add adds a member, which is neither admitted nor started.
func (c *Cluster) Add(dc catalog.DatacenterName, gateway string) *Member { return c.add(dc, gateway) }

// Admit writes m to the catalog: its datacenter joins, or gets another gateway.
func (c *Cluster) Admit(m *Member) {
	c.t.Helper()
	dc, gateway := m.Names()
	for _, other := range c.Members {
		if otherDC, _ := other.Names(); other != m && otherDC == dc && other.Running() {
			c.must(NewAddGateway(other.ID, dc, gateway))
			return
		}
	}
	create, join := NewJoin(c.Members[0].ID, dc, gateway)
	c.must(create)
	c.must(join)
}

// Join adds a member, admits it and starts it.
func (c *Cluster) Join(dc catalog.DatacenterName, gateway string) *Member {
	c.t.Helper()
	m := c.add(dc, gateway)
	c.Admit(m)
	m.Open()
	m.Start()
	return m
}

// must writes through the first running member.
func (c *Cluster) must(cmd Command) {
	c.t.Helper()
	i := slices.IndexFunc(c.Members, (*Member).Running)
	require.GreaterOrEqual(c.t, i, 0, "no member runs")
	results, err := c.Members[i].Node.Propose(context.Background(), cmd)
	require.NoError(c.t, err)
	require.Nil(c.t, results[0].Refusal)
}

// Stop stops all members.
func (c *Cluster) Stop() {
	c.Network.Heal()
	for _, m := range c.Members {
		m.Stop()
	}
}

// Names returns the names of the member's datacenter and gateway.
func (m *Member) Names() (catalog.DatacenterName, string) {
	return m.ID.Datacenter(), m.ID.Name()
}

// Config returns the configuration with which Open opens the node.
func (m *Member) Config() raftnode.Config {
	n, o := m.cluster.Network, m.cluster.opts
	log := o.Log
	if log != nil {
		log = log.With("gateway", m.ID)
	}
	cfg := raftnode.Config{
		ID: m.ID, Dir: m.Dir, LogStore: o.LogStore, Timers: o.Timers, SnapshotThreshold: o.SnapshotThreshold,
		ProposeTimeout: o.ProposeTimeout, Network: n.Host(m.ID), Remote: n.Remote(m.ID),
		Addresses: Addresses, Log: log,
	}
	if o.Host != nil {
		cfg.Host = o.Host(m.ID)
	}
	return cfg
}

// Open opens the node.
func (m *Member) Open() {
	m.cluster.t.Helper()
	require.NoError(m.cluster.t, m.TryOpen())
}

// TryOpen is Open for a directory that may be refused.
func (m *Member) TryOpen() error {
	node, err := raftnode.Open(m.Config())
	if err == nil {
		m.Node = node
	}
	return err //nolint:wrapcheck // tests check its text
}

// Start runs the opened node.
func (m *Member) Start() {
	ctx, cancel := context.WithCancel(context.Background())
	m.cancel, m.ended = cancel, make(chan error, 1)
	m.cluster.Network.Serve(m.ID, m.Node)
	node, ended := m.Node, m.ended
	go func() { ended <- node.Run(ctx) }() // Stop and Wait wait for it
}

// Running reports whether the node was started and not stopped.
func (m *Member) Running() bool { return m.ended != nil }

// Stop stops the node cleanly. An error of Run fails the test.
func (m *Member) Stop() {
	m.cluster.t.Helper()
	if err := m.end(); err != nil {
		m.cluster.t.Errorf("%s: %v", m.ID, err)
	}
}

// Wait waits until Run ends by itself, and returns its error.
func (m *Member) Wait() error {
	err := <-m.ended
	m.ended <- err
	m.end() //nolint:errcheck // it is err
	return err
}

// Ended reports whether Run has ended by itself, and its error.
func (m *Member) Ended() (ended bool, err error) {
	select {
	case err := <-m.ended:
		m.ended <- err
		return true, err
	default:
		return false, nil
	}
}

func (m *Member) end() error {
	if !m.Running() {
		return nil
	}
	m.cancel()
	err := <-m.ended
	m.cluster.Network.Serve(m.ID, nil)
	m.ended = nil
	return err
}

// Kill stops the node after it was cut off, so that it does not transfer leadership.
func (m *Member) Kill() {
	m.cluster.Network.Isolate(m.ID)
	m.end() //nolint:errcheck // it was killed
}

// Restart starts a stopped or killed member again, and makes its links whole.
func (m *Member) Restart() {
	m.cluster.t.Helper()
	m.Open()
	m.Start()
	m.cluster.Network.Rejoin(m.ID)
}

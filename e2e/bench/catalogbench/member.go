//go:build linux

package catalogbench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"net/rpc"
	"os"
	"path/filepath"
	"runtime/pprof"
	"strconv"
	"sync"
	"time"

	"github.com/meshway/meshway/agent/config"
	"github.com/meshway/meshway/agent/control"
	"github.com/meshway/meshway/agent/identity"
	"github.com/meshway/meshway/agent/member"
	"github.com/meshway/meshway/consensus"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/replica"
)

// memberConfig configures the process of a member.
type memberConfig struct {
	Number            int
	Dir               string
	Listen            netip.AddrPort
	Advertise         string // where the others reach it; differs from Listen behind a delay
	SnapshotThreshold uint64
	CountSyncs        bool
}

func (c memberConfig) socket() string { return filepath.Join(c.Dir, "bench.sock") }

// store is the data directory of the member.
func (c memberConfig) store() string { return filepath.Join(c.Dir, "data") }

// file returns the configuration of the agent of which this is a part.
func (c memberConfig) file() config.Config {
	return config.Config{
		Datacenter: catalog.DatacenterName(nameOf(c.Number)), Gateway: gatewayName,
		Control: config.Control{Listen: c.Listen, Advertise: []string{c.Advertise}},
		Raft:    config.Raft{Timers: "auto", SnapshotThreshold: c.SnapshotThreshold},
	}
}

// Member is the service of net/rpc by which the bench operates a member.
type Member struct {
	cfg       memberConfig
	admission *member.Admission
	member    *member.Member // set by Open
	syncs     *syncCounter   // nil: they are not counted
	ended     chan error

	mu      sync.Mutex // guards all following fields
	arrived map[int64]int64
}

// Nothing is an argument or a result without content. (net/rpc needs an exported type.)
type Nothing struct{}

// loopback connects members on the loopback interface only.
type loopback struct{}

// Listen implements control.Sockets.
func (loopback) Listen(ctx context.Context, at netip.AddrPort, path control.Path) (net.Listener, error) {
	if path == control.Overlay || !at.Addr().IsLoopback() {
		return nil, fmt.Errorf("listen on %s: the bench has no overlay", at)
	}
	return new(net.ListenConfig).Listen(ctx, "tcp", at.String())
}

// Dial implements control.Sockets.
func (loopback) Dial(ctx context.Context, address string) (net.Conn, error) {
	if at, err := netip.ParseAddrPort(address); err != nil || !at.Addr().IsLoopback() {
		return nil, fmt.Errorf("dial %s: the bench has no overlay", address)
	}
	return new(net.Dialer).DialContext(ctx, "tcp", address)
}

// runMember is the main function of the process of a member.
func runMember(text string) error {
	m := &Member{ended: make(chan error, 1), arrived: make(map[int64]int64)}
	if err := json.Unmarshal([]byte(text), &m.cfg); err != nil {
		return fmt.Errorf("decode the configuration of a member: %w", err)
	}
	if m.cfg.CountSyncs {
		var err error
		if m.syncs, err = countSyncs(); err != nil {
			return err
		}
	}
	store, err := identity.Open(m.cfg.store())
	if err != nil {
		return err
	}
	m.admission = &member.Admission{
		File: m.cfg.file(), Store: store, Log: slog.New(slog.NewTextHandler(os.Stderr, nil)),
		Sockets: func(func() netip.Prefix) control.Sockets { return loopback{} },
		Process: member.NewProcess(),
		Refuse:  func(catalog.Datacenter, catalog.Gateway) error { return nil },
	}
	server := rpc.NewServer()
	if err := server.Register(m); err != nil {
		return fmt.Errorf("register the service of a member: %w", err)
	}
	if err := os.RemoveAll(m.cfg.socket()); err != nil { // of the process before a restart
		return fmt.Errorf("remove socket: %w", err)
	}
	l, err := net.Listen("unix", m.cfg.socket())
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	go server.Accept(l)
	return <-m.ended
}

func (m *Member) request() (member.JoinRequest, error) {
	key, err := m.admission.Store.WireGuardKey()
	if err != nil {
		return member.JoinRequest{}, err
	}
	return member.JoinRequest{
		Prefixes: []catalog.Prefix{{CIDR: podsOf(m.cfg.Number), Kind: catalog.PodPrefix}},
		Gateway: catalog.Gateway{
			Datacenter: catalog.DatacenterName(nameOf(m.cfg.Number)), Name: gatewayName, PublicKey: catalog.Key(key.Public()),
			Endpoints: []string{m.cfg.Advertise}, Controls: []string{m.cfg.Advertise}, Version: "bench",
		},
		CheckOverlay: func(netip.Prefix) error { return nil },
	}, nil
}

// Init creates the federation, and opens the member.
func (m *Member) Init(Nothing, *Nothing) error {
	request, err := m.request()
	if err != nil {
		return err
	}
	if err := m.admission.Init(context.Background(), member.InitOptions{Name: "bench"}, request); err != nil {
		return err
	}
	return m.Open(Nothing{}, nil)
}

// Token returns a join token.
func (m *Member) Token(_ Nothing, text *string) error {
	token, err := m.member.CreateToken(context.Background(), "", time.Hour)
	*text = token.Text
	return err
}

// Join joins with a token, and opens the member.
func (m *Member) Join(token string, _ *Nothing) error {
	request, err := m.request()
	if err != nil {
		return err
	}
	if err := m.admission.Join(context.Background(), token, request, func(string, string) {}); err != nil {
		return err
	}
	return m.Open(Nothing{}, nil)
}

// Open opens and runs the member, which then has its copy of the catalog.
func (m *Member) Open(Nothing, *Nothing) error {
	opened, err := m.admission.Open()
	if err != nil {
		return err
	}
	m.member = opened
	go func() { m.ended <- opened.Run(context.Background()) }() // until the process is killed
	return nil
}

// State is what the bench has to know of a member.
type State struct {
	Leader string
	Voters int // as this member has them
	Index  uint64
	Syncs  uint64
}

// State returns the state of the member.
func (m *Member) State(_ Nothing, s *State) error {
	status := m.member.Status()
	*s = State{Leader: string(status.Leader), Index: status.AppliedIndex}
	for _, p := range status.Peers {
		if p.Voter {
			s.Voters++
		}
	}
	if m.syncs != nil {
		s.Syncs = m.syncs.calls.Load()
	}
	return nil
}

// Tune adapts the member to the longest round trip between members, as its agent does.
func (m *Member) Tune(longest time.Duration, _ *Nothing) error {
	roundTrips := make(map[catalog.GatewayID]time.Duration)
	for _, p := range m.member.Status().Peers {
		roundTrips[p.ID] = longest
	}
	m.member.Tune(roundTrips)
	return nil
}

// Transfer makes a gateway the leader.
func (m *Member) Transfer(to string, _ *Nothing) error {
	return m.member.TransferLeader(context.Background(), catalog.GatewayID(to))
}

// Load is a load that begins in the process of the member.
type Load struct {
	Kind    string             // write, batch, read
	Mode    consensus.ReadMode // of read
	Clients int
	Span    time.Duration
}

// Run runs a load.
func (m *Member) Run(l Load, s *Sample) error {
	ops := map[string]operation{
		"write": m.write,
		"batch": m.batch,
		"read":  func(ctx context.Context, _, n int) error { return m.read(ctx, l.Mode, n) },
	}
	*s = load(context.Background(), l.Clients, l.Span, ops[l.Kind])
	return nil
}

func (m *Member) write(ctx context.Context, _, n int) error {
	return m.put(ctx, []catalog.Service{serviceOf(m.cfg.Number, n, stamp())})
}

func (m *Member) batch(ctx context.Context, _, n int) error {
	return m.put(ctx, batchOf(m.cfg.Number, n*batchSize, batchSize, stamp()))
}

func (m *Member) put(ctx context.Context, services []catalog.Service) error {
	results, err := m.member.Propose(ctx, catalog.NewPutServices(services))
	if err != nil {
		return err
	}
	return refusalOf(results)
}

func (m *Member) read(ctx context.Context, mode consensus.ReadMode, n int) error {
	view, _, err := m.member.Read(ctx, mode)
	if err != nil {
		return err
	}
	return lookUp(view, m.cfg.Number, n)
}

// lookUp reads one registration, which must be there once all were written.
func lookUp(view *replica.View, dc, n int) error {
	key := serviceOf(dc, n, "").ServiceKey
	if len(view.Services(replica.ServiceFilter{Datacenter: key.Datacenter, Namespace: key.Namespace, Name: key.Name})) != 1 {
		return fmt.Errorf("the catalog does not contain %s", key.Name)
	}
	return nil
}

// refusalOf returns the first refusal.
func refusalOf(results []catalog.Result) error {
	for _, r := range results {
		if r.Refusal != nil {
			return r.Refusal
		}
	}
	return nil
}

// stamp returns a value that is different for each write.
func stamp() string { return strconv.FormatInt(time.Now().UnixNano(), 10) }

// Register writes all registrations of this member once.
func (m *Member) Register(Nothing, *Nothing) error {
	for n := range registrations / batchSize {
		if err := m.batch(context.Background(), 0, n); err != nil {
			return err
		}
	}
	return nil
}

// Fill writes a number of exports, each with the same number of endpoints.
func (m *Member) Fill(exports int, _ *Nothing) error {
	for n := range exports {
		results, err := m.member.Propose(context.Background(), endpointsOf(m.cfg.Number, n, endpointsPerExport)...)
		if err := errors.Join(err, refusalOf(results)); err != nil {
			return err
		}
	}
	return nil
}

// Watch records when the values of one registration arrive in the copy of this
// member, until the process ends.
func (m *Member) Watch(dc int, _ *Nothing) error {
	key := serviceOf(dc, 0, "").ServiceKey
	go func() {
		for {
			changed := m.member.Changed()
			for _, s := range m.member.View().Services(replica.ServiceFilter{Datacenter: key.Datacenter, Namespace: key.Namespace, Name: key.Name}) {
				value, err := strconv.ParseInt(s.Labels["value"], 10, 64)
				if err != nil {
					continue
				}
				m.mu.Lock()
				if _, known := m.arrived[value]; !known {
					m.arrived[value] = time.Now().UnixNano()
				}
				m.mu.Unlock()
			}
			<-changed
		}
	}()
	return nil
}

// Arrived returns the time at which each value arrived, by value.
func (m *Member) Arrived(_ Nothing, arrived *map[int64]int64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	*arrived = m.arrived
	m.arrived = make(map[int64]int64)
	return nil
}

// Consistent makes one consistent read.
func (m *Member) Consistent(Nothing, *Nothing) error {
	_, _, err := m.member.Read(context.Background(), consensus.ConsistentRead)
	return err
}

// Profile writes a processor profile of the next span to a file.
func (m *Member) Profile(p Profile, _ *Nothing) error {
	f, err := os.Create(p.File)
	if err != nil {
		return fmt.Errorf("write profile: %w", err)
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		return errors.Join(err, f.Close())
	}
	time.AfterFunc(p.Span, func() {
		pprof.StopCPUProfile()
		if err := f.Close(); err != nil {
			slog.Error("failed to write a profile", "err", err)
		}
	})
	return nil
}

// Profile is a request for a processor profile.
type Profile struct {
	File string
	Span time.Duration
}

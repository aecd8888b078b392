package cluster

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/agent/dataplane"
	"github.com/meshway/meshway/agent/identity"
	"github.com/meshway/meshway/agent/kube"
	"github.com/meshway/meshway/agent/kube/mcs"
	"github.com/meshway/meshway/agent/membership"
	"github.com/meshway/meshway/agent/notify"
	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/routes/routestest"
	"github.com/meshway/meshway/tunnel/tunneltest"
)

// journal records what ran, in order.
type journal struct {
	mu      sync.Mutex
	entries []string
}

func (j *journal) add(entry string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.entries = append(j.entries, entry)
}

func (j *journal) take() []string {
	j.mu.Lock()
	defer j.mu.Unlock()
	entries := j.entries
	j.entries = nil
	return entries
}

// testSupervisor runs a supervisor in the current bubble.
type testSupervisor struct {
	journal
	role      notify.Latest[kube.Role]
	uninstall notify.Latest[bool]
	ended     chan error
	dir       string
	identity  *identity.Store
	startup   time.Duration // of a gateway, until it calls started
}

type roles struct{ *notify.Latest[kube.Role] }

func (r roles) Current() kube.Role { return r.Get() }

func (r roles) Read(context.Context) (kube.Role, error) { return r.Get(), nil }

// unnoticed is a role that the watch has not delivered yet.
type unnoticed struct {
	roles
	role kube.Role
}

func (u unnoticed) Read(context.Context) (kube.Role, error) { return u.role, nil }

type uninstallation struct {
	*notify.Latest[bool]
	journal *journal
}

func (u uninstallation) Current() bool { return u.Get() }

func (u uninstallation) Acknowledge(context.Context) error {
	u.journal.add("acknowledge")
	return nil
}

func startSupervisor(t *testing.T) *testSupervisor {
	t.Helper()
	store, err := identity.Open(filepath.Join(t.TempDir(), "identity"))
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, store.Close()) })
	s := &testSupervisor{ended: make(chan error, 1), dir: t.TempDir(), identity: store}
	block := func(name string) func(context.Context) error {
		return func(ctx context.Context) error {
			s.add(name)
			<-ctx.Done()
			s.add(name + " ends")
			return nil
		}
	}
	gateway := block("gateway")
	supervisor := NewSupervisor(Config{
		Roles: roles{&s.role}, Uninstallation: uninstallation{&s.uninstall, &s.journal},
		Identity: store,
		RunGateway: func(ctx context.Context, started func(*membership.Agent)) error {
			select {
			case <-ctx.Done():
				s.add("gateway does not start")
				return nil
			case <-time.After(s.startup):
			}
			started(membership.New(membership.Config{Identity: store}))
			return gateway(ctx)
		},
		RunNode:          block("node"),
		ServeUninstalled: block("uninstalled"),
		Host: HostCleanup{
			Kernel: func(context.Context) (dataplane.Kernel, error) {
				s.add("clean up")
				return dataplane.Kernel{Tunnels: tunneltest.NewFake(), Routes: routestest.NewKernel(), Firewall: routestest.NewFilter()}, nil
			},
			Table: 7117, Socket: filepath.Join(s.dir, "sock"), DataDir: s.dir,
		},
		Log: slog.New(slog.DiscardHandler),
	})
	ctx, cancel := context.WithCancel(t.Context())
	go func() { s.ended <- supervisor.Run(ctx) }()
	t.Cleanup(func() { cancel(); synctest.Wait() })
	synctest.Wait()
	return s
}

func TestRoleIsFollowedWithoutARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := startSupervisor(t)
		assert.Empty(t, s.take(), "the role is unknown")
		s.role.Set(kube.RoleGateway)
		synctest.Wait()
		assert.Equal(t, []string{"gateway"}, s.take())
		s.role.Set(kube.RoleNode)
		synctest.Wait()
		assert.Equal(t, []string{"gateway ends", "node"}, s.take(), "one role ends before the next one starts")
	})
}

// Kubernetes deletes the pod of a gateway as soon as its label is removed.
func TestGatewayRunsUntilItIsRemovedFromTheCatalog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var role notify.Latest[kube.Role]
		role.Set(kube.RoleGateway)
		ctx, cancel := context.WithCancel(t.Context())
		var events journal
		demote := func(ctx context.Context, next kube.Role) {
			cancel()
			time.Sleep(time.Second)
			events.add(fmt.Sprintf("demoted to %s: %v", next, ctx.Err()))
		}
		ended := make(chan error, 1)
		go func() {
			ended <- followRole(ctx, roles{&role}, demote, func(ctx context.Context, role kube.Role) error {
				<-ctx.Done()
				events.add(string(role) + " ends")
				return nil
			})
		}()
		synctest.Wait()
		role.Set(kube.RoleNode)
		require.NoError(t, <-ended)
		assert.Equal(t, []string{"demoted to node: <nil>", "gateway ends"}, events.take())
	})
}

func TestGatewayThatEndsReadsWhetherItIsStillOne(t *testing.T) {
	for _, next := range []kube.Role{kube.RoleGateway, kube.RoleNode} {
		synctest.Test(t, func(t *testing.T) {
			var role notify.Latest[kube.Role]
			role.Set(kube.RoleGateway)
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			var demoted kube.Role
			demote := func(ctx context.Context, next kube.Role) {
				assert.NoError(t, ctx.Err())
				demoted = next
			}
			err := followRole(ctx, &unnoticed{roles{&role}, next}, demote, func(ctx context.Context, _ kube.Role) error {
				<-ctx.Done()
				return nil
			})
			require.NoError(t, err)
			assert.Empty(t, demoted, "nothing ran")
			ctx, cancel = context.WithCancel(t.Context())
			ended := make(chan error, 1)
			go func() {
				ended <- followRole(ctx, &unnoticed{roles{&role}, next}, demote, func(ctx context.Context, _ kube.Role) error {
					<-ctx.Done()
					return nil
				})
			}()
			synctest.Wait()
			cancel()
			require.NoError(t, <-ended)
			assert.Equal(t, next, demoted)
		})
	}
}

func TestUninstallationCleansUpAndCanBeCancelled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := startSupervisor(t)
		require.NoError(t, os.WriteFile(filepath.Join(s.dir, "key"), nil, 0o600))
		s.role.Set(kube.RoleNode)
		synctest.Wait()
		s.uninstall.Set(true)
		synctest.Wait()
		assert.Equal(t, []string{"node", "node ends", "clean up", "uninstalled"}, s.take())
		entries, err := os.ReadDir(s.dir)
		require.NoError(t, err)
		assert.Empty(t, entries, "the data directory is a mount: only its content is deleted")

		s.uninstall.Set(false)
		time.Sleep(resumeDelay / 2)
		s.uninstall.Set(true)
		time.Sleep(resumeDelay)
		synctest.Wait()
		assert.Empty(t, s.ended, "the uninstallation goes on")
		s.uninstall.Set(false)
		time.Sleep(resumeDelay)
		synctest.Wait()
		require.NoError(t, <-s.ended)
	})
}

func TestUninstallationWaitsForAGatewayThatStarts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := startSupervisor(t)
		require.NoError(t, s.identity.SaveMembership(identity.Membership{
			FederationID: "7f1a6f0e-7f4d-4b68-8f0f-5a1c1d1e2f3a", FederationName: "test", Datacenter: "east", Gateway: "gw",
			Overlay: netip.MustParsePrefix("fd00:1::/48"), OverlayAddress: netip.MustParseAddr("fd00:1::1"),
		}))
		s.startup = time.Second
		s.role.Set(kube.RoleGateway)
		synctest.Wait()
		s.uninstall.Set(true)
		synctest.Wait()
		assert.Equal(t, []string{"acknowledge"}, s.take(), "the gateway has not left yet")
		time.Sleep(s.startup)
		synctest.Wait()
		assert.Equal(t, []string{"gateway"}, s.take(), "it tries to leave the federation")
		time.Sleep(leaveTimeout)
		synctest.Wait()
		assert.Equal(t, []string{"gateway ends", "clean up", "uninstalled"}, s.take())
	})
}

func TestOutageFollowsTheDataPlane(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		down := func(name catalog.DatacenterName) plan.DatacenterReachability {
			return plan.DatacenterReachability{
				Datacenter: catalog.Datacenter{Name: name},
				Gateways:   []plan.GatewayReachability{{Session: plan.Session{Since: start, LastPacket: start.Add(-time.Second)}}},
			}
		}
		up := func(name catalog.DatacenterName) plan.DatacenterReachability {
			return plan.DatacenterReachability{Datacenter: catalog.Datacenter{Name: name}, Reachable: true}
		}
		self := plan.DatacenterReachability{Datacenter: catalog.Datacenter{Name: "east"}, Self: true, Reachable: true}
		now := []plan.DatacenterReachability{self, up("north"), down("west")}
		o := &outageMonitor{reachability: func() plan.Reachability { return plan.Reachability{Datacenters: now} }}
		assert.Equal(t, mcs.Outage{}, o.current(), "not before the grace")
		time.Sleep(mcs.Grace)
		assert.Equal(t, mcs.Outage{Withdrawn: []catalog.DatacenterName{"west"}}, o.current())
		now = []plan.DatacenterReachability{self, down("north"), down("west")}
		assert.Equal(t, mcs.Outage{Withdrawn: []catalog.DatacenterName{"west"}, Doubtful: []catalog.DatacenterName{"north"}}, o.current(),
			"a gateway that is cut off keeps what was withdrawn before")
	})
}

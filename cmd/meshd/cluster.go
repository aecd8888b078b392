package main

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/meshway/meshway/agent/admin"
	"github.com/meshway/meshway/agent/build"
	"github.com/meshway/meshway/agent/config"
	"github.com/meshway/meshway/agent/dataplane"
	"github.com/meshway/meshway/agent/host"
	"github.com/meshway/meshway/agent/identity"
	"github.com/meshway/meshway/agent/kube"
	"github.com/meshway/meshway/agent/kube/inventory"
	"github.com/meshway/meshway/agent/kube/meshnode"
	"github.com/meshway/meshway/agent/kube/property"
	"github.com/meshway/meshway/agent/liveness"
	"github.com/meshway/meshway/agent/membership"
	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/agent/status"
	"github.com/meshway/meshway/consensus/catalog"
)

// roleTimeout is how long an agent that has never run here waits silently for
// the API server to tell the node's role.
const roleTimeout = 10 * time.Second

// daemonSetVariable names the environment variable by which the chart tells the
// agent's DaemonSet.
const daemonSetVariable = "MESHWAY_DAEMONSET"

// runInCluster does what the label of the node says, and follows it without
// a restart.
func runInCluster(ctx context.Context, cfg config.Config, store *identity.Store, log *slog.Logger) error {
	clients, err := kube.Connect(cfg.Kubernetes.Kubeconfig, "meshd/"+build.Current().Version, log)
	if err != nil {
		return err
	}
	roles, err := kube.NewRoleWatcher(kube.RoleConfig{
		Client: clients.Kubernetes, Kubernetes: cfg.Kubernetes, Dir: cfg.DataDir, Log: log,
	})
	if err != nil {
		return err
	}
	chart, err := newUninstallWatcher(clients, log)
	if err != nil {
		return err
	}
	incumbent := &incumbent{log: log}
	group, ctx := errgroup.WithContext(ctx)
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	group.Go(func() error { return roles.Run(ctx) })
	group.Go(func() error { return chart.Run(ctx) })
	group.Go(func() error {
		defer stop()
		err := follow(ctx, roles, incumbent.resign, func(ctx context.Context, role kube.Role) error {
			switch role {
			case kube.RoleGateway:
				return runClusterGateway(ctx, cfg, store, clients, chart, incumbent, log)
			case kube.RoleNode:
				return runNode(ctx, cfg, store, clients, roles, chart, log)
			default:
				return awaitRole(ctx, cfg, chart, log)
			}
		})
		if errors.Is(err, errUninstalled) {
			return retire(ctx, cfg, chart, log)
		}
		return err
	})
	return group.Wait()
}

func newUninstallWatcher(clients kube.Clients, log *slog.Logger) (*kube.UninstallWatcher, error) {
	return kube.NewUninstallWatcher(kube.UninstallConfig{
		Client: clients.Kubernetes, Namespace: ownNamespace(), DaemonSet: os.Getenv(daemonSetVariable), Log: log,
	})
}

// follow runs what the role asks for; when it changes, the former resigns and
// ends first. The data plane stays meanwhile, and is changed by what runs next.
func follow(ctx context.Context, roles interface {
	Current() kube.Role
	Changed() <-chan struct{}
}, resign func(context.Context, kube.Role), act func(context.Context, kube.Role) error,
) error {
	for ctx.Err() == nil {
		changed, role := roles.Changed(), roles.Current()
		acting, stop := context.WithCancel(ctx)
		ended := make(chan error, 1)
		go func() { ended <- act(acting, role) }()
		select {
		case <-changed:
			resign(ctx, roles.Current())
			stop()
			if err := <-ended; err != nil {
				return err
			}
		case err := <-ended:
			stop()
			return err
		}
	}
	return nil
}

func awaitRole(ctx context.Context, cfg config.Config, chart *kube.UninstallWatcher, log *slog.Logger) error {
	warning := time.AfterFunc(roleTimeout, func() {
		log.Warn("waiting for the API server, which knows whether this node is a gateway",
			"node", cfg.Kubernetes.NodeName, "label", cfg.Kubernetes.GatewayLabel)
	})
	defer warning.Stop()
	return untilUninstalled(ctx, chart, func(context.Context) {})
}

// runClusterGateway is a gateway whose prefixes the cluster tells, and which
// shows the federation in the cluster.
func runClusterGateway(ctx context.Context, cfg config.Config, store *identity.Store, clients kube.Clients,
	chart *kube.UninstallWatcher, incumbent *incumbent, log *slog.Logger,
) error {
	discovery, err := kube.NewDiscovery(kube.DiscoveryConfig{
		Client: clients.Kubernetes, Kubernetes: cfg.Kubernetes, Static: cfg.Prefixes, Dir: cfg.DataDir, Log: log,
	})
	if err != nil {
		return err
	}
	siblings, err := newSiblings(cfg, clients, discovery, log)
	if err != nil {
		return err
	}
	site, err := meshnode.NewSite(meshnode.SiteConfig{
		Client: clients.Dynamic, Cluster: discovery, Node: cfg.Kubernetes.NodeName, Gateway: cfg.Gateway, Dir: cfg.DataDir, Log: log,
	})
	if err != nil {
		return err
	}
	key, err := store.WireGuardKey()
	if err != nil {
		return err
	}
	lookout := newLookout(cfg, discovery, log)
	events := kube.NewEvents(clients.Kubernetes, "meshway")
	wrong := newNotices()
	return runGateway(ctx, cfg, store, surroundings{
		site: site, siblings: siblings.port(), problems: wrong.all,
		alongside: func(ctx context.Context, a *membership.Agent) error {
			incumbent.agent.Store(a)
			defer incumbent.agent.Store(nil)
			writer, err := inventory.NewWriter(inventory.WriterConfig{
				Client: clients.Dynamic, Events: events, Snapshot: a.Status, Changed: a.Changed,
				Addresses: discovery.Addresses, DatacenterIsMember: a.DatacenterIsMember, SiblingProber: lookout, Log: log,
				Tunnel: &inventory.NodeTunnel{PublicKey: key.Public().String(), Port: int32(plan.NodePort(cfg))},
			})
			if err != nil {
				return err
			}
			properties := property.NewWriter(property.Config{
				Client: clients.Dynamic, Events: events, Snapshot: func() status.Snapshot { return ofCluster(a) }, Changed: a.Changed,
				Report: wrong.of("properties"), Log: log,
			})
			group, ctx := errgroup.WithContext(ctx)
			group.Go(func() error { return discovery.Run(ctx) })
			group.Go(func() error { return lookout.Run(ctx) })
			group.Go(func() error { return site.Run(ctx) })
			group.Go(func() error { return siblings.run(ctx) })
			group.Go(func() error { return events.Run(ctx) })
			group.Go(func() error { return writer.Run(ctx) })
			group.Go(func() error { return properties.Run(ctx) })
			group.Go(func() error { return runServices(ctx, cfg, clients, a, surface{events, wrong.of("services")}, log) })
			group.Go(func() error {
				return untilUninstalled(ctx, chart, func(ctx context.Context) { leaveForGood(ctx, a, store, log) })
			})
			return group.Wait()
		},
	}, log)
}

// runNode only routes to the gateways of the cluster.
func runNode(ctx context.Context, cfg config.Config, store *identity.Store, clients kube.Clients, roles *kube.RoleWatcher,
	chart *kube.UninstallWatcher, log *slog.Logger,
) error {
	reader, err := inventory.NewReader(inventory.ReaderConfig{Client: clients.Dynamic, Dir: cfg.DataDir, Log: log})
	if err != nil {
		return err
	}
	key, err := store.WireGuardKey()
	if err != nil {
		return err
	}
	kernel := newRoutes(cfg)
	kernelPlane, err := newDataplane(ctx, cfg, kernel, log)
	if err != nil {
		return err
	}
	node := dataplane.NewNode(dataplane.NodeConfig{
		File: cfg, Key: key, Kernel: kernelPlane, Inventory: reader, Log: log,
		Liveness: liveness.NewProber(liveness.Config{
			Interval: cfg.Liveness.Interval, Multiplier: cfg.Liveness.Multiplier, Network: liveness.UDP{}, Log: log,
		}),
		Host: host.Host{
			TunnelPrefix: cfg.WireGuard.Interface, Routes: kernel.HostRoutes,
			Prefixes: func() []catalog.Prefix {
				known, _ := reader.Current()
				return known.PrefixesOf(cfg.Datacenter)
			},
		},
	})
	writer, err := meshnode.NewWriter(meshnode.WriterConfig{
		Client: clients.Dynamic, Node: cfg.Kubernetes.NodeName, PublicKey: key.Public(), Port: cfg.WireGuard.Port,
		Owner: roles.Owner, Paths: node.Paths, Pods: node.Pods, NodePods: roles.Pods, Changed: node.Changed, Log: log,
	})
	if err != nil {
		return err
	}
	handler := admin.NewNodeHandler(node)
	adminServer := admin.NewServer(admin.Config{
		Socket: cfg.Admin.Socket, Handler: handler, Refuse: handler.Refuse, Log: log,
	})
	if err := adminServer.Listen(ctx); err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return adminServer.Run(ctx) })
	group.Go(func() error { return reader.Run(ctx) })
	group.Go(func() error { return node.Run(ctx) })
	group.Go(func() error { return writer.Run(ctx) })
	group.Go(func() error { return untilUninstalled(ctx, chart, func(context.Context) {}) })
	group.Go(func() error { return serveMetrics(ctx, cfg.Metrics.Listen, node.Status, log) })
	return group.Wait()
}

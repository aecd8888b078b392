package main

import (
	"context"
	"os"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/meshway/meshway/agent/admin"
	"github.com/meshway/meshway/agent/build"
	"github.com/meshway/meshway/agent/cluster"
	"github.com/meshway/meshway/agent/dataplane"
	"github.com/meshway/meshway/agent/host"
	"github.com/meshway/meshway/agent/kube"
	"github.com/meshway/meshway/agent/kube/inventory"
	"github.com/meshway/meshway/agent/kube/mcs/controller"
	"github.com/meshway/meshway/agent/kube/meshnode"
	"github.com/meshway/meshway/agent/kube/property"
	"github.com/meshway/meshway/agent/liveness"
	"github.com/meshway/meshway/agent/membership"
	"github.com/meshway/meshway/agent/pathmtu"
	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/agent/requirement"
	"github.com/meshway/meshway/agent/status"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/routes/kernel"
	"github.com/meshway/meshway/tunnel"
)

const (
	// daemonSetVariable is the environment variable with the name of the agent's
	// DaemonSet.
	daemonSetVariable = "MESHWAY_DAEMONSET"
	// namespaceVariable is the environment variable with the namespace of the
	// chart's release, and defaultNamespace the one where it usually is.
	namespaceVariable = "POD_NAMESPACE"
	defaultNamespace  = "meshway-system"
)

// The gateways of a cluster probe each other less often than nodes probe them: it
// is enough to detect a failure before the host has booted again.
const (
	siblingProbeInterval   = 500 * time.Millisecond
	siblingProbeMultiplier = 4
)

// stateUninstalled is the state in the health checks after an uninstallation.
const stateUninstalled status.State = "uninstalled"

// clusterDaemon is meshd on a host of a cluster.
type clusterDaemon struct {
	daemon
	clients kube.Clients
	roles   *kube.RoleWatcher
	server  *kube.APIServer
}

// runInCluster runs the agent in the role that the label of the node gives it.
func (d daemon) runInCluster(ctx context.Context) error {
	clients, err := kube.Connect(d.cfg.Kubernetes.Kubeconfig, "meshd/"+build.Current().Version, d.log)
	if err != nil {
		return err
	}
	roles, err := kube.NewRoleWatcher(kube.RoleConfig{
		Client: clients.Kubernetes, Kubernetes: d.cfg.Kubernetes, Dir: d.cfg.DataDir, Log: d.log,
	})
	if err != nil {
		return err
	}
	chart, err := kube.NewUninstallWatcher(kube.UninstallConfig{
		Client: clients.Kubernetes, Namespace: ownNamespace(), DaemonSet: os.Getenv(daemonSetVariable), Log: d.log,
	})
	if err != nil {
		return err
	}
	server, err := kube.NewAPIServer(kube.APIServerConfig{
		Client: clients.Kubernetes, Server: clients.Server, Resolve: host.Host{}.Resolve, Dir: d.cfg.DataDir, Log: d.log,
	})
	if err != nil {
		return err
	}
	if err := server.ReadFirst(ctx); err != nil {
		d.log.Warn("failed to read the addresses of the API server before the start", "err", err)
	}
	c := clusterDaemon{daemon: d, clients: clients, roles: roles, server: server}
	supervisor := cluster.NewSupervisor(cluster.Config{
		Roles:          roles,
		Uninstallation: chart,
		Identity:       d.store,
		RunGateway:     c.runGateway,
		RunNode:        c.runNode,
		Host: cluster.HostCleanup{
			Kernel:  func(ctx context.Context) (dataplane.Kernel, error) { return dataplaneToRemove(ctx, d.cfg, d.log) },
			Table:   d.cfg.Routing.Table,
			Socket:  d.cfg.Admin.Socket,
			DataDir: d.cfg.DataDir,
		},
		ServeUninstalled: func(ctx context.Context) error {
			return newMetrics(d.cfg.Metrics.Listen, d.log).serve(ctx, metricsOf(func() status.Snapshot {
				return status.Snapshot{At: time.Now(), State: stateUninstalled}
			}))
		},
		Node:  d.cfg.Kubernetes.NodeName,
		Label: d.cfg.Kubernetes.GatewayLabel,
		Log:   d.log,
	})
	group, ctx := errgroup.WithContext(ctx)
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	group.Go(func() error { return roles.Run(ctx) })
	group.Go(func() error { return chart.Run(ctx) })
	group.Go(func() error { return server.Run(ctx) })
	group.Go(func() error {
		defer stop()
		return supervisor.Run(ctx)
	})
	return group.Wait()
}

// ownNamespace returns the namespace of the chart's release.
func ownNamespace() string {
	if namespace := os.Getenv(namespaceVariable); namespace != "" {
		return namespace
	}
	return defaultNamespace
}

// runGateway runs a gateway whose prefixes the cluster determines, and which
// publishes the federation in the cluster.
func (d clusterDaemon) runGateway(ctx context.Context, started func(*membership.Agent)) error {
	discovery, err := kube.NewDiscovery(kube.DiscoveryConfig{
		Client: d.clients.Kubernetes, Kubernetes: d.cfg.Kubernetes, Static: d.cfg.Prefixes, Dir: d.cfg.DataDir, Log: d.log,
	})
	if err != nil {
		return err
	}
	site, err := meshnode.NewSite(meshnode.SiteConfig{
		Client: d.clients.Dynamic, Cluster: discovery, Node: d.cfg.Kubernetes.NodeName, Gateway: d.cfg.Gateway, Dir: d.cfg.DataDir, Log: d.log,
	})
	if err != nil {
		return err
	}
	problems, services := new(cluster.Problems), new(cluster.RunningServices)
	env := environment{site: site, problems: withProblems(problems.All, d.server.Problems), services: services.Current, apiServer: d.server.Addresses}
	siblings, err := d.newSiblings(discovery)
	if err != nil {
		return err
	}
	if siblings != nil {
		env.siblings = siblings
	}
	env.alongside = func(ctx context.Context, a *membership.Agent) error {
		started(a)
		tasks, err := d.clusterTasks(a, discovery, problems, services)
		if err != nil {
			return err
		}
		tasks = append(tasks, discovery.Run, site.Run)
		if siblings != nil {
			tasks = append(tasks, siblings.Run)
		}
		group, ctx := errgroup.WithContext(ctx)
		for _, run := range tasks {
			group.Go(func() error { return run(ctx) })
		}
		return group.Wait()
	}
	return d.daemon.runGateway(ctx, env)
}

// newSiblings returns nil if the configuration names no Secret for the shared
// state.
func (d clusterDaemon) newSiblings(discovery *kube.Discovery) (*kube.Siblings, error) {
	if d.cfg.Kubernetes.IdentitySecret == "" {
		return nil, nil
	}
	return kube.NewSiblings(kube.SiblingsConfig{
		Client:          d.clients.Kubernetes,
		Namespace:       ownNamespace(),
		Secret:          d.cfg.Kubernetes.IdentitySecret,
		GatewayLabel:    d.cfg.Kubernetes.GatewayLabel,
		Gateways:        discovery.Gateways,
		GatewaysChanged: discovery.Changed,
		Log:             d.log,
	})
}

// clusterTasks constructs what publishes the federation in the cluster.
func (d clusterDaemon) clusterTasks(a *membership.Agent, discovery *kube.Discovery, problems *cluster.Problems, running *cluster.RunningServices) ([]func(context.Context) error, error) {
	key, err := d.store.WireGuardKey()
	if err != nil {
		return nil, err
	}
	events := kube.NewEvents(d.clients.Kubernetes, "meshway")
	prober := inventory.NewSiblingProber(inventory.SiblingProberConfig{
		Probes: liveness.NewProber(liveness.Config{
			Interval: siblingProbeInterval, Multiplier: siblingProbeMultiplier, Network: liveness.UDP{}, Log: d.log,
		}),
		Datacenter: d.cfg.Datacenter, Node: d.cfg.Kubernetes.NodeName, Nodes: discovery.Nodes, Changed: discovery.Changed,
	})
	writer, err := inventory.NewWriter(inventory.WriterConfig{
		Client:        d.clients.Dynamic,
		Events:        events,
		Reachability:  a.Reachability,
		Changed:       a.Changed,
		Addresses:     discovery.Addresses,
		SiblingProber: prober,
		Tunnel:        &inventory.NodeTunnel{PublicKey: key.Public().String(), Port: int32(plan.NodePort(d.cfg))},
		Log:           d.log,
	})
	if err != nil {
		return nil, err
	}
	properties := property.NewWriter(property.Config{
		Client:       d.clients.Dynamic,
		Events:       events,
		Reachability: a.Reachability,
		Changed:      a.Changed,
		Report:       problems.Source("properties"),
		Log:          d.log,
	})
	services := cluster.Services{
		Controller: controller.Config{
			Datacenter: d.cfg.Datacenter,
			Identity:   d.cfg.Gateway,
			Namespace:  ownNamespace(),
			Kubernetes: d.clients.Kubernetes,
			MCS:        d.clients.MCS,
			Events:     events,
			Report:     problems.Source("services"),
			Log:        d.log,
		},
		Clients: d.clients,
		Agent:   a,
		Running: running,
		Log:     d.log,
	}
	return []func(context.Context) error{prober.Run, events.Run, writer.Run, properties.Run, services.Run}, nil
}

// runNode runs a node, which routes to the gateways of the cluster.
func (d clusterDaemon) runNode(ctx context.Context) error {
	reader, err := inventory.NewReader(inventory.ReaderConfig{Client: d.clients.Dynamic, Dir: d.cfg.DataDir, Log: d.log})
	if err != nil {
		return err
	}
	key, err := d.store.WireGuardKey()
	if err != nil {
		return err
	}
	routes := newRoutes(d.cfg)
	data, err := newDataplane(ctx, d.cfg, routes, d.log)
	if err != nil {
		return err
	}
	metrics := newMetrics(d.cfg.Metrics.Listen, d.log)
	lacks := requirement.NewWatch("node "+d.cfg.Kubernetes.NodeName, data.Requirements, d.log)
	node := d.newNode(key, data, routes, reader, withProblems(d.server.Problems, metrics.problems(lacks.Problems)))
	writer, err := meshnode.NewWriter(meshnode.WriterConfig{
		Client:    d.clients.Dynamic,
		Node:      d.cfg.Kubernetes.NodeName,
		PublicKey: key.Public(),
		Port:      d.cfg.WireGuard.Port,
		Owner:     d.roles.Owner,
		Paths:     node.Paths,
		Pods:      node.Pods,
		NodePods:  d.roles.Pods,
		Changed:   node.Changed,
		Log:       d.log,
	})
	if err != nil {
		return err
	}
	handler := admin.NewNodeHandler(node)
	server := admin.NewServer(admin.Config{
		Socket: d.cfg.Admin.Socket, Handler: handler, Refuse: handler.Refuse, Log: d.log,
	})
	if err := server.Listen(ctx); err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	for _, run := range []func(context.Context) error{server.Run, reader.Run, node.Run, writer.Run} {
		group.Go(func() error { return run(ctx) })
	}
	group.Go(func() error { lacks.Run(ctx); return nil })
	group.Go(func() error { return metrics.serve(ctx, metricsOf(node.Status)) })
	group.Go(func() error { d.watch(ctx, node.Status); return nil })
	return group.Wait()
}

// newNode constructs the data plane of a node.
func (d clusterDaemon) newNode(key tunnel.PrivateKey, data dataplane.Kernel, routes *kernel.Kernel, reader *inventory.Reader, problems func() []plan.Problem) *dataplane.Node {
	return dataplane.NewNode(dataplane.NodeConfig{
		File:      d.cfg,
		Key:       key,
		Kernel:    data,
		Inventory: reader,
		Problems:  problems,
		Log:       d.log,
		Liveness: liveness.NewProber(liveness.Config{
			Interval: d.cfg.Liveness.Interval, Multiplier: d.cfg.Liveness.Multiplier, Network: liveness.UDP{}, Log: d.log,
		}),
		PathMTU: pathmtu.New(liveness.UDP{}, d.log),
		Host: host.Host{
			TunnelPrefix: d.cfg.WireGuard.Interface,
			Mark:         d.cfg.Routing.Mark,
			Routes:       routes.HostRoutes,
			PolicyRoutes: routes.PolicyRoutes,
			Before:       routes.SysctlBefore,
			APIServer:    d.server.Addresses,
			Prefixes: func() []catalog.Prefix {
				known, _ := reader.Current()
				return known.PrefixesOf(d.cfg.Datacenter)
			},
		},
	})
}

package main

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/meshway/meshway/agent/config"
	"github.com/meshway/meshway/agent/kube"
	"github.com/meshway/meshway/agent/kube/inventory"
	"github.com/meshway/meshway/agent/liveness"
	"github.com/meshway/meshway/agent/membership"
	"github.com/meshway/meshway/agent/status"
)

// resignTimeout is shorter than the time that a pod gets to end.
const resignTimeout = 20 * time.Second

// The gateways of a cluster look out for one another less often than nodes do for
// them: what counts is to have noticed before a host has booted again.
const (
	lookoutInterval   = 500 * time.Millisecond
	lookoutMultiplier = 4
)

// incumbent is the gateway that runs now, if one does.
type incumbent struct {
	agent atomic.Pointer[membership.Agent]
	log   *slog.Logger
}

// resign lets a gateway whose label was taken away say so to the federation.
func (i *incumbent) resign(ctx context.Context, next kube.Role) {
	a := i.agent.Load()
	if a == nil || next != kube.RoleNode {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, resignTimeout)
	defer cancel()
	if err := a.Demote(ctx); err != nil {
		i.log.Warn("the federation could not be told that this node is no gateway any more; another gateway does so in a minute", "err", err)
	}
}

// clusterSiblings are none where the configuration names no Secret.
type clusterSiblings struct{ *kube.Siblings }

func newSiblings(cfg config.Config, clients kube.Clients, discovery *kube.Discovery, log *slog.Logger) (clusterSiblings, error) {
	if cfg.Kubernetes.IdentitySecret == "" {
		return clusterSiblings{}, nil
	}
	s, err := kube.NewSiblings(kube.SiblingsConfig{
		Client: clients.Kubernetes, Namespace: ownNamespace(), Secret: cfg.Kubernetes.IdentitySecret,
		GatewayLabel: cfg.Kubernetes.GatewayLabel, Gateways: discovery.Gateways, GatewaysChanged: discovery.Changed, Log: log,
	})
	return clusterSiblings{s}, err
}

func (s clusterSiblings) port() membership.Siblings {
	if s.Siblings == nil {
		return nil
	}
	return s.Siblings
}

func (s clusterSiblings) run(ctx context.Context) error {
	if s.Siblings == nil {
		return nil
	}
	return s.Siblings.Run(ctx)
}

func newLookout(cfg config.Config, discovery *kube.Discovery, log *slog.Logger) *inventory.SiblingProber {
	return inventory.NewSiblingProber(inventory.SiblingProberConfig{
		Probes: liveness.NewProber(liveness.Config{
			Interval: lookoutInterval, Multiplier: lookoutMultiplier, Network: liveness.UDP{}, Log: log,
		}),
		Datacenter: cfg.Datacenter, Node: cfg.Kubernetes.NodeName, Nodes: discovery.Nodes, Changed: discovery.Changed,
	})
}

// ofCluster is the status of a gateway for what speaks for the whole cluster: one
// that is out while others of it are in has nothing to say.
func ofCluster(a *membership.Agent) status.Snapshot {
	s := a.Status()
	if s.State == status.Standalone && a.DatacenterIsMember() {
		s.State = status.Joining
	}
	return s
}

package main

import (
	"context"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/meshway/meshway/agent/config"
	"github.com/meshway/meshway/agent/kube"
	"github.com/meshway/meshway/agent/kube/mcs"
	"github.com/meshway/meshway/agent/kube/mcs/controller"
	"github.com/meshway/meshway/agent/membership"
	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/agent/status"
	"github.com/meshway/meshway/consensus/catalog"
)

// cleanTimeout bounds the removal of imports after leaving.
const cleanTimeout = 20 * time.Second

// defaultNamespace is where the chart is installed, unless POD_NAMESPACE says otherwise.
const defaultNamespace = "meshway-system"

// surface is where an operator sees what is wrong.
type surface struct {
	events *kube.Events
	report func([]plan.Problem)
}

// runServices exports and imports services while this gateway is a member.
func runServices(ctx context.Context, cfg config.Config, clients kube.Clients, a *membership.Agent, out surface, log *slog.Logger) error {
	namespace := ownNamespace()
	for ctx.Err() == nil {
		changed := a.Changed()
		if federation, err := a.Member(); err == nil {
			if err := serveMember(ctx, cfg, clients, a, federation, namespace, out, log); err != nil {
				return err
			}
			continue
		}
		select {
		case <-ctx.Done():
		case <-changed:
		}
	}
	return nil
}

// ownNamespace is that of the chart's release.
func ownNamespace() string {
	if namespace := os.Getenv("POD_NAMESPACE"); namespace != "" {
		return namespace
	}
	return defaultNamespace
}

// serveMember runs the controller until ctx or the membership ends.
func serveMember(ctx context.Context, cfg config.Config, clients kube.Clients, a *membership.Agent, federation *membership.Member,
	namespace string, out surface, log *slog.Logger,
) error {
	services, err := controller.New(controller.Config{
		Datacenter: cfg.Datacenter, Identity: cfg.Gateway, Namespace: namespace, Log: log,
		Catalog: federation, Outage: (&outage{status: a.Status}).now,
		Kubernetes: clients.Kubernetes, MCS: clients.MCS, Events: out.events, Report: out.report,
	})
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- services.Run(ctx) }()
	for {
		changed := a.Changed()
		if now, err := a.Member(); err != nil || now != federation {
			stop()
			err := <-ended
			cleanServices(ctx, clients, a, log)
			return err
		}
		select {
		case <-changed:
		case err := <-ended:
			return err
		}
	}
}

// cleanServices removes the imports of a federation that this datacenter has
// left; when it only ended, or became another one, they stay.
func cleanServices(ctx context.Context, clients kube.Clients, a *membership.Agent, log *slog.Logger) {
	if a.Status().State != status.Standalone || a.DatacenterIsMember() {
		return // other gateways of the cluster go on
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanTimeout)
	defer cancel()
	if err := controller.Remove(ctx, clients.Kubernetes, clients.MCS); err != nil {
		log.Error("imported services could not be removed", "err", err)
	}
}

// outage remembers who was withdrawn before, since a cut-off gateway keeps that.
type outage struct {
	status func() status.Snapshot

	mu     sync.Mutex // guards all following fields
	before mcs.Outage
}

// now says which datacenters cannot be used, on the data plane's word.
func (o *outage) now() mcs.Outage {
	o.mu.Lock()
	defer o.mu.Unlock()
	var others []catalog.DatacenterName
	silent := map[catalog.DatacenterName]time.Time{}
	for _, dc := range o.status().Datacenters {
		if dc.Self {
			continue
		}
		name := catalog.DatacenterName(dc.Name)
		others = append(others, name)
		if !dc.Reachable {
			silent[name] = lastHeard(dc)
		}
	}
	o.before = mcs.FindOutage(time.Now(), others, silent, o.before)
	return o.before
}

// lastHeard is when the last packet came from any gateway of a datacenter.
func lastHeard(dc status.Datacenter) time.Time {
	var last time.Time
	for _, g := range dc.Gateways {
		for _, at := range []time.Time{g.LastPacket, g.Since} {
			if at.After(last) {
				last = at
			}
		}
	}
	return last
}

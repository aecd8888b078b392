package main

import (
	"cmp"
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/meshway/meshway/agent/control/controlpb"
	"github.com/meshway/meshway/cmd/meshctl/internal/fault"
	"github.com/meshway/meshway/cmd/meshctl/internal/recovery"
	"github.com/meshway/meshway/cmd/meshctl/internal/views"
)

// recoverCluster recovers the catalog on all gateways of a cluster. It runs nothing on
// this host.
func recoverCluster(cmd *cobra.Command, a *app, r recoverFlags) error {
	for _, flag := range []string{"data-dir", "meshd"} {
		if cmd.Flags().Changed(flag) {
			f := fault.Usagef("--%s is of this host, and --context recovers the catalog of a cluster", flag)
			f.Field, f.Remedy = "--"+flag, "omit one of them"
			return f
		}
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), longTimeout)
	defer cancel()
	gateways, err := a.survivors(ctx)
	if err != nil {
		return err
	}
	voters := r.peers
	if len(voters) == 0 {
		voters = gateways.IDs()
	}
	if err := gateways.Check(voters); err != nil {
		return err
	}
	former, err := gateways.Recover(ctx, &controlpb.Recover{Voters: voters, DryRun: true})
	if err != nil {
		return err
	}
	fmt.Fprint(a.err, gateways.Plan(former[0].GetFormerVoters(), voters))
	if r.dryRun {
		return a.print(views.Done{}, line("nothing was changed"))
	}
	if err := a.confirm(ctx, r.yes, "recovering the catalog of cluster "+a.options.cluster.Context); err != nil {
		return err
	}
	done, err := gateways.Recover(ctx, &controlpb.Recover{Voters: voters})
	if err != nil {
		return err
	}
	for i, g := range gateways {
		a.hint("the former state of %s is in %s on its node", g.ID, done[i].GetBackup())
	}
	a.hint("next: run `meshctl --context %s raft list-peers`, then remove lost datacenters with `meshctl datacenter remove`", a.options.cluster.Context)
	return a.print(views.Done{Done: true}, line("catalog recovered"))
}

// survivors returns the gateways of the cluster, or the one of --node.
func (a *app) survivors(ctx context.Context) (recovery.Survivors, error) {
	nodes := []string{a.options.cluster.Node}
	if nodes[0] == "" {
		var err error
		if nodes, err = a.gatewayNodes(ctx, a.options.cluster); err != nil {
			return nil, err
		}
	}
	var found recovery.Survivors
	for _, node := range nodes {
		target := a.options.cluster
		target.Node = node
		client := a.client(target)
		snapshot, _, err := fetchStatus(ctx, client)
		if err != nil {
			f := *fault.Explain(err)
			f.Message = fmt.Sprintf("the agent on gateway node %s: %s", node, f.Message)
			f.Remedy = cmp.Or(f.Remedy, "remove the gateway label from a node that is lost")
			return nil, &f
		}
		found = append(found, recovery.Survivor{ID: snapshot.Self.ID, Client: client})
	}
	return found, nil
}

package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/meshway/meshway/agent/control/controlpb"
	"github.com/meshway/meshway/agent/control/controlpb/controlpbconnect"
	"github.com/meshway/meshway/cmd/meshctl/internal/fault"
	"github.com/meshway/meshway/cmd/meshctl/internal/human"
	"github.com/meshway/meshway/cmd/meshctl/internal/views"
)

// survivor is a gateway of the cluster whose agent answers.
type survivor struct {
	id     string // of the gateway
	client controlpbconnect.OperatorClient
}

// recoverCluster recovers the catalog on all gateways of a cluster. It runs nothing on
// this host.
func recoverCluster(cmd *cobra.Command, a *app, r recovery) error {
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
		for _, g := range gateways {
			voters = append(voters, g.id)
		}
	}
	if err := checkSurvivors(gateways, voters); err != nil {
		return err
	}
	former, err := operateAll(ctx, gateways, &controlpb.Recover{Voters: voters, DryRun: true})
	if err != nil {
		return err
	}
	fmt.Fprint(a.err, recoveryPlan(gateways, former[0].GetFormerVoters(), voters))
	if r.dryRun {
		return a.print(views.Done{}, line("nothing was changed"))
	}
	if err := a.confirm(ctx, r.yes, "recovering the catalog of cluster "+a.options.cluster.Context); err != nil {
		return err
	}
	done, err := operateAll(ctx, gateways, &controlpb.Recover{Voters: voters})
	if err != nil {
		return err
	}
	for i, g := range gateways {
		a.hint("the former state of %s is in %s on its node", g.id, done[i].GetBackup())
	}
	a.hint("next: run `meshctl --context %s raft list-peers`, then remove lost datacenters with `meshctl datacenter remove`", a.options.cluster.Context)
	return a.print(views.Done{Done: true}, line("catalog recovered"))
}

// survivors returns the gateways of the cluster, or the one of --node.
func (a *app) survivors(ctx context.Context) ([]survivor, error) {
	nodes := []string{a.options.cluster.Node}
	if nodes[0] == "" {
		var err error
		if nodes, err = a.gatewayNodes(ctx, a.options.cluster); err != nil {
			return nil, err
		}
	}
	var found []survivor
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
		found = append(found, survivor{id: snapshot.Self.ID, client: client})
	}
	return found, nil
}

// checkSurvivors returns an error if a gateway would keep the former catalog.
func checkSurvivors(gateways []survivor, voters []string) error {
	for _, g := range gateways {
		if !slices.Contains(voters, g.id) {
			return &fault.Fault{
				Code: fault.ExitUsage, Field: "--peer",
				Message: fmt.Sprintf("gateway %s of the cluster is not named: it would keep the former catalog", g.id),
				Remedy:  "add --peer " + g.id + ", or remove the gateway label from its node",
			}
		}
	}
	return nil
}

// operateAll sends the request to all gateways at the same time, so that none uses the
// former catalog while another one has recovered.
func operateAll(ctx context.Context, gateways []survivor, request *controlpb.Recover) ([]*controlpb.OperateResponse, error) {
	responses := make([]*controlpb.OperateResponse, len(gateways))
	var group errgroup.Group
	for i, g := range gateways {
		group.Go(func() error {
			response, err := g.client.Operate(ctx, connect.NewRequest(&controlpb.OperateRequest{
				Operation: &controlpb.OperateRequest_Recover{Recover: request},
			}))
			if err != nil {
				return err
			}
			responses[i] = response.Msg
			return nil
		})
	}
	return responses, group.Wait()
}

// recoveryPlan describes a recovery, one fact a line.
func recoveryPlan(gateways []survivor, former, voters []string) string {
	lost := slices.DeleteFunc(slices.Clone(former), func(id string) bool { return slices.Contains(voters, id) })
	var local []string
	for _, g := range gateways {
		local = append(local, g.id)
	}
	elsewhere := slices.DeleteFunc(slices.Clone(voters), func(id string) bool { return slices.Contains(local, id) })
	lines := []string{
		"The catalog of " + strings.Join(local, ", ") + " becomes authoritative:",
		"  voters: " + strings.Join(voters, ", "),
		"  no longer voters: " + cmp.Or(strings.Join(lost, ", "), "none"),
		"  lost: writes that only the latter had",
	}
	if len(elsewhere) > 0 {
		lines = append(lines, "  run the same command at the same time for the clusters of: "+strings.Join(elsewhere, ", "))
	}
	for i := range lines {
		lines[i] = human.Clean(lines[i])
	}
	return strings.Join(lines, "\n") + "\n"
}

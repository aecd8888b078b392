package main

import (
	"cmp"
	"context"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"

	"github.com/meshway/meshway/agent/control/controlpb"
	"github.com/meshway/meshway/agent/control/controlpb/controlpbconnect"
	"github.com/meshway/meshway/cmd/meshctl/internal/command"
	"github.com/meshway/meshway/cmd/meshctl/internal/views"
)

func newRaftCommand(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "raft",
		Short: "Inspect and change the Raft members of the catalog",
		Example: `  meshctl raft list-peers
  meshctl raft transfer-leader west/gw1
  meshctl raft remove-peer north/gw1`,
	}
	cmd.AddCommand(newListPeersCommand(a), newTransferCommand(a), newRemovePeerCommand(a), newRecoverCommand(a))
	return command.Parent(cmd)
}

func newListPeersCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:        "list-peers",
		SuggestFor: []string{"peers", "list", "ls"},
		Short:      "List the Raft members of the catalog",
		Long: `Lists the Raft members of the catalog with their suffrage, the leader and their
health. Only the leader measures LAST CONTACT: run the command there to see it.`,
		Example: `  meshctl raft list-peers
  meshctl raft list-peers -o json`,
		Args: command.NoArguments(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.call(cmd, func(ctx context.Context, client controlpbconnect.OperatorClient) error {
				response, err := client.ListPeers(ctx, connect.NewRequest(&controlpb.ListPeersRequest{}))
				if err != nil {
					return err
				}
				view := views.NewPeers(response.Msg)
				return a.print(view, a.table(views.PeersTable(view.Peers), "no peers: this gateway is in no federation"))
			})
		},
	}
}

func newTransferCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "transfer-leader [ID]",
		Short: "Transfer leadership to another voter",
		Long: `Transfers leadership to the voter with the given id, or to the one whose log is
most up to date.`,
		Example: `  meshctl raft transfer-leader
  meshctl raft transfer-leader west/gw1`,
		Args:              command.Positional(0, 1, "one gateway id"),
		ValidArgsFunction: a.completePeers,
		RunE: func(cmd *cobra.Command, args []string) error {
			transfer := &controlpb.TransferLeader{}
			if len(args) == 1 {
				transfer.To = args[0]
			}
			request := &controlpb.OperateRequest{Operation: &controlpb.OperateRequest_TransferLeader{TransferLeader: transfer}}
			return operate(cmd, a, request, "leadership transferred to "+cmp.Or(transfer.GetTo(), "another voter"))
		},
	}
}

func newRemovePeerCommand(a *app) *cobra.Command {
	var yes bool
	cmd := &cobra.Command{
		Use:   "remove-peer ID",
		Short: "Remove a gateway that is permanently lost",
		Long: `Removes a gateway that is permanently lost from the Raft members of the catalog.
For a datacenter that still runs, use ` + "`meshctl leave`" + ` there.`,
		Example: `  meshctl raft remove-peer north/gw1
  meshctl raft remove-peer north/gw1 --yes`,
		Args:              command.Positional(1, 1, "a gateway id"),
		ValidArgsFunction: a.completePeers,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := a.confirm(cmd.Context(), yes, "removing "+args[0]+" from the catalog"); err != nil {
				return err
			}
			request := &controlpb.OperateRequest{Operation: &controlpb.OperateRequest_RemovePeer{RemovePeer: &controlpb.RemovePeer{Id: args[0]}}}
			return operate(cmd, a, request, "peer "+args[0]+" removed")
		},
	}
	cmd.Flags().BoolVar(&yes, "yes", false, "skip the confirmation")
	return cmd
}

func operate(cmd *cobra.Command, a *app, request *controlpb.OperateRequest, done string) error {
	return a.call(cmd, func(ctx context.Context, client controlpbconnect.OperatorClient) error {
		if _, err := client.Operate(ctx, connect.NewRequest(request)); err != nil {
			return err
		}
		return a.print(views.Done{Done: true}, line("%s", done))
	})
}

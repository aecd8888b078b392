package main

import (
	"context"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"

	"github.com/meshway/meshway/agent/control/controlpb"
	"github.com/meshway/meshway/agent/control/controlpb/controlpbconnect"
	"github.com/meshway/meshway/cmd/meshctl/internal/command"
	"github.com/meshway/meshway/cmd/meshctl/internal/fault"
	"github.com/meshway/meshway/cmd/meshctl/internal/views"
)

func newTrustCommand(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "trust",
		Short: "Show and replace the CAs that this gateway trusts",
		Long: `Each datacenter signs its records in the catalog. A gateway remembers the CA of
each datacenter from the time at which it saw it first, and does not use records
that this CA did not sign.`,
		Example: `  meshctl trust show
  meshctl trust accept west --fingerprint SHA256`,
	}
	cmd.AddCommand(newTrustShowCommand(a), newTrustAcceptCommand(a))
	return command.Parent(cmd)
}

func newTrustShowCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "show",
		Short: "Show the CA of each datacenter and whether its records are signed",
		Example: `  meshctl trust show
  meshctl trust show -o json`,
		Args: command.NoArguments(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.call(cmd, func(ctx context.Context, client controlpbconnect.OperatorClient) error {
				response, err := client.ShowTrust(ctx, connect.NewRequest(&controlpb.ShowTrustRequest{}))
				if err != nil {
					return err
				}
				view := views.NewTrust(response.Msg)
				if err := a.print(view, a.table(views.TrustTable(view.Datacenters), "no datacenters")); err != nil {
					return err
				}
				for _, dc := range view.Datacenters {
					if dc.State == "broken" {
						a.hint("%s has another CA in the catalog, %s; see meshctl status", dc.Name, dc.CatalogFingerprint)
					}
				}
				return nil
			})
		},
	}
}

func newTrustAcceptCommand(a *app) *cobra.Command {
	var fingerprint string
	cmd := &cobra.Command{
		Use:   "accept DATACENTER",
		Short: "Replace the CA of a datacenter that this gateway trusts",
		Long: `Makes this gateway trust the CA with the given fingerprint for the datacenter,
and removes what it has seen of the datacenter before: records without a
signature are accepted again until it sees a signed one. Run the command on each
gateway.

Compare the fingerprint with the operator of the datacenter first. There,
` + "`meshctl trust show`" + ` prints it. The holder of the CA receives the traffic to the
prefixes of the datacenter.`,
		Example:           `  meshctl trust accept west --fingerprint 5f1c9a…`,
		Args:              command.Positional(1, 1, "the name of a datacenter"),
		ValidArgsFunction: a.completeTrustedDatacenters,
		RunE: func(cmd *cobra.Command, args []string) error {
			if fingerprint == "" {
				return &fault.Fault{
					Code:    fault.ExitUsage,
					Message: "the fingerprint of the CA is missing",
					Field:   "--fingerprint",
					Remedy:  "copy it from meshctl trust show on a gateway of " + args[0],
				}
			}
			request := &controlpb.AcceptTrustRequest{Datacenter: args[0], Fingerprint: fingerprint}
			return a.call(cmd, func(ctx context.Context, client controlpbconnect.OperatorClient) error {
				response, err := client.AcceptTrust(ctx, connect.NewRequest(request))
				if err != nil {
					return err
				}
				view := views.AcceptedTrust{
					Datacenter: args[0], Fingerprint: fingerprint, FormerFingerprint: response.Msg.GetFormerFingerprint(),
				}
				if err := a.print(view, line("this gateway trusts the CA %s of datacenter %s", fingerprint, args[0])); err != nil {
					return err
				}
				a.hint("run the same command on the other gateways, also on those of this datacenter")
				return nil
			})
		},
	}
	cmd.Flags().StringVar(&fingerprint, "fingerprint", "", "SHA-256 of the public key of the CA, in hexadecimal")
	_ = cmd.RegisterFlagCompletionFunc("fingerprint", cobra.NoFileCompletions)
	return cmd
}

// completeTrustedDatacenters offers the datacenters whose CA is remembered.
func (a *app) completeTrustedDatacenters(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	return a.completeWith(cmd, args, func(ctx context.Context, client controlpbconnect.OperatorClient) ([]string, error) {
		response, err := client.ShowTrust(ctx, connect.NewRequest(&controlpb.ShowTrustRequest{}))
		if err != nil {
			return nil, err
		}
		var names []string
		for _, dc := range response.Msg.GetDatacenters() {
			names = append(names, dc.GetName())
		}
		return names, nil
	})
}

package main

import (
	"context"
	"strings"
	"time"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/meshway/meshway/agent/control/controlpb"
	"github.com/meshway/meshway/agent/control/controlpb/controlpbconnect"
	"github.com/meshway/meshway/cmd/meshctl/internal/command"
	"github.com/meshway/meshway/cmd/meshctl/internal/fault"
	"github.com/meshway/meshway/cmd/meshctl/internal/human"
	"github.com/meshway/meshway/cmd/meshctl/internal/views"
)

func newTokenCommand(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "token",
		Short: "Create, list and revoke join tokens",
		Long:  `A join token lets one datacenter join once, before it expires.`,
		Example: `  meshctl token create --datacenter west
  meshctl token list
  meshctl token revoke ID`,
	}
	cmd.AddCommand(newTokenCreateCommand(a), newTokenListCommand(a), newTokenRevokeCommand(a))
	return command.Parent(cmd)
}

func newTokenCreateCommand(a *app) *cobra.Command {
	var datacenter string
	var ttl time.Duration
	cmd := &cobra.Command{
		Use:   "create",
		Short: "Create a token with which one datacenter can join",
		Long: `Creates a join token and prints it to stdout, everything else to stderr. The
token is a secret and cannot be shown again: the catalog stores only its hash.`,
		Example: `  meshctl token create
  meshctl token create --datacenter west --ttl 15m
  meshctl token create | ssh gateway.west meshctl join -`,
		Args: command.NoArguments(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if ttl <= 0 {
				return &fault.Fault{
					Code:    fault.ExitUsage,
					Message: "the validity of a token must be positive",
					Field:   "--ttl",
					Remedy:  "give a duration such as 15m or 24h",
				}
			}
			request := &controlpb.CreateTokenRequest{Datacenter: datacenter, Ttl: durationpb.New(ttl)}
			return a.call(cmd, func(ctx context.Context, client controlpbconnect.OperatorClient) error {
				return createToken(ctx, a, client, request)
			})
		},
	}
	cmd.Flags().StringVar(&datacenter, "datacenter", "", "the only datacenter that may use the token (default: any)")
	cmd.Flags().DurationVar(&ttl, "ttl", time.Hour, "validity of the token")
	return cmd
}

func createToken(ctx context.Context, a *app, client controlpbconnect.OperatorClient, request *controlpb.CreateTokenRequest) error {
	response, err := client.CreateToken(ctx, connect.NewRequest(request))
	if err != nil {
		return err
	}
	view := views.CreatedToken{
		Token:     response.Msg.GetToken(),
		ID:        response.Msg.GetId(),
		ExpiresAt: views.TimeOf(response.Msg.GetExpiresAt()),
		Endpoints: response.Msg.GetEndpoints(),
	}
	// Only the token goes to stdout, so that it can be piped into join.
	if err := a.print(view, line("%s", view.Token)); err != nil {
		return err
	}
	a.hint("token %s: valid for one use until %s (%s), endpoints %s", view.ID,
		view.ExpiresAt.Local().Format(time.DateTime), human.Duration(view.ExpiresAt.Sub(a.now())), strings.Join(view.Endpoints, ", "))
	a.hint("next: run `meshctl join -` on a gateway of the other datacenter and paste the token")
	return nil
}

func newTokenListCommand(a *app) *cobra.Command {
	mode := command.ReadLease
	cmd := &cobra.Command{
		Use:     "list",
		Aliases: []string{"ls"},
		Short:   "List join tokens and their use",
		Example: `  meshctl token list
  meshctl token list -o json`,
		Args: command.NoArguments(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.call(cmd, func(ctx context.Context, client controlpbconnect.OperatorClient) error {
				response, err := client.ListTokens(ctx, connect.NewRequest(&controlpb.ListTokensRequest{Mode: mode.Proto()}))
				if err != nil {
					return err
				}
				view := views.NewTokens(response.Msg, a.now())
				return a.print(view, a.table(views.TokensTable(view.Tokens, a.now()), "no tokens; create one with `meshctl token create`"))
			})
		},
	}
	mode.Flag(cmd)
	return cmd
}

func newTokenRevokeCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "revoke ID",
		Short: "Revoke a token before it expires",
		Long: `Revokes a token before it expires, on a gateway of the datacenter that created
it. The removal of a datacenter revokes its tokens.`,
		Example:           `  meshctl token revoke 7kq2m4`,
		Args:              command.Positional(1, 1, "the id of a token"),
		ValidArgsFunction: a.completeTokens,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.call(cmd, func(ctx context.Context, client controlpbconnect.OperatorClient) error {
				_, err := client.RevokeToken(ctx, connect.NewRequest(&controlpb.RevokeTokenRequest{Id: args[0]}))
				if err != nil {
					return err
				}
				return a.print(views.Done{Done: true}, line("token %s revoked", args[0]))
			})
		},
	}
}

package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"

	"github.com/meshway/meshway/agent/control/controlpb"
	"github.com/meshway/meshway/agent/control/controlpb/controlpbconnect"
	"github.com/meshway/meshway/agent/plaintext"
	"github.com/meshway/meshway/cmd/meshctl/internal/command"
	"github.com/meshway/meshway/cmd/meshctl/internal/fault"
	"github.com/meshway/meshway/cmd/meshctl/internal/kubectl"
	"github.com/meshway/meshway/cmd/meshctl/internal/output"
)

func newJoinCommand(a *app) *cobra.Command {
	var file, via string
	cmd := &cobra.Command{
		Use:   "join TOKEN|- | --via CONTEXT",
		Short: "Join a federation with a token",
		Long: `Joins this datacenter to the federation that created the token. The token is a
secret, and arguments are visible in ps: use - to read it from stdin, or
--token-file to read it from a file. With --via, meshctl creates a token in
another Kubernetes cluster and uses it at once. A join that is refused changes
nothing on either side.`,
		Example: `  meshctl join -                        # then paste the token
  meshctl join --token-file /run/secrets/meshway-token
  meshctl token create | ssh gateway.west meshctl join -
  meshctl join --context west --via east`,
		Args: command.Positional(0, 1, "one token"),
		RunE: func(cmd *cobra.Command, args []string) error {
			token, revoke, err := a.joinToken(cmd, args, file, via)
			if err != nil {
				return err
			}
			err = a.callLong(cmd, func(ctx context.Context, client controlpbconnect.OperatorClient) error {
				return join(ctx, a, client, token)
			})
			if err != nil {
				revoke()
			}
			return err
		},
	}
	cmd.Flags().StringVar(&file, "token-file", "", "file that holds the token")
	cmd.Flags().StringVar(&via, "via", "", "kubectl context of a member cluster that creates the token")
	return cmd
}

func join(ctx context.Context, a *app, client controlpbconnect.OperatorClient, token string) error {
	err := a.follow(ctx, "joining", func() (*connect.ServerStreamForClient[controlpb.Progress], error) {
		return client.JoinFederation(ctx, connect.NewRequest(&controlpb.JoinFederationRequest{Token: token}))
	})
	if err != nil {
		return err
	}
	a.hint("next: run `meshctl status`")
	return nil
}

// joinToken returns the token that the user gave, or creates one in the member
// cluster via. revoke ends the validity of a token that it created and that was not
// used.
func (a *app) joinToken(cmd *cobra.Command, args []string, file, via string) (token string, revoke func(), err error) {
	if via == "" {
		token, err = readToken(cmd, a, args, file)
		return token, func() {}, err
	}
	if len(args) > 0 || file != "" {
		return "", nil, fault.Usagef("--via creates the token: give neither TOKEN nor --token-file")
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), a.options.timeout)
	defer cancel()
	client := a.client(kubectl.Cluster{Context: via, Namespace: a.options.cluster.Namespace})
	response, err := client.CreateToken(ctx, connect.NewRequest(&controlpb.CreateTokenRequest{}))
	if err != nil {
		return "", nil, err
	}
	return response.Msg.GetToken(), func() { a.revokeUnused(cmd.Context(), client, via, response.Msg.GetId()) }, nil
}

// revokeTimeout limits the revocation of a token after a join that failed.
const revokeTimeout = 10 * time.Second

// revokeUnused revokes a token, also after an interruption.
func (a *app) revokeUnused(ctx context.Context, client controlpbconnect.OperatorClient, via, id string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), revokeTimeout)
	defer cancel()
	if _, err := client.RevokeToken(ctx, connect.NewRequest(&controlpb.RevokeTokenRequest{Id: id})); err != nil {
		a.hint("token %s is still valid; run `meshctl token revoke %s --context %s`", id, id, via)
	}
}

// readToken reads the token from the one place that the user chose: argument,
// stdin or file.
func readToken(cmd *cobra.Command, a *app, args []string, file string) (string, error) {
	var text []byte
	var err error
	switch {
	case len(args) == 1 && file != "":
		return "", fault.Usagef("the token was given twice: as an argument and with --token-file")
	case len(args) == 0 && file == "":
		f := fault.Usagef("meshctl join needs a token, - to read it from stdin, or --token-file")
		f.Remedy, f.Usage = "run `meshctl token create` on a gateway of the federation", cmd.UseLine()
		return "", f
	case file != "":
		text, err = os.ReadFile(file)
	case args[0] == "-":
		text, err = output.Read(cmd.Context(), a.in, a.err, "paste the token, then Enter: ")
	default:
		text = []byte(args[0])
	}
	if err != nil {
		return "", fmt.Errorf("read token: %w", err)
	}
	if text, err = plaintext.Decode(text); err != nil {
		return "", fault.Usagef("read token: %v", err)
	}
	token := strings.TrimSpace(string(text))
	if token == "" {
		return "", fault.Usagef("the token is empty")
	}
	return token, nil
}

// confirm requires the user to type yes before a destructive action, described
// by a phrase such as "removing x"; with yes it returns at once.
func (a *app) confirm(ctx context.Context, yes bool, action string) error {
	if yes {
		return nil
	}
	if _, interactive := output.Terminal(a.in); !interactive {
		f := fault.Usagef("%s needs confirmation, and stdin is not a terminal", action)
		f.Remedy = "add --yes"
		return f
	}
	text, err := output.Read(ctx, a.in, a.err, action+": type yes to continue: ")
	if err != nil {
		return err
	}
	if strings.TrimSpace(string(text)) != "yes" {
		return &fault.Fault{Code: fault.ExitFailure, Message: "not confirmed; nothing was changed"}
	}
	return nil
}

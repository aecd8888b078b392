package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"strings"

	"connectrpc.com/connect"
	"github.com/meshway/meshway/agent/control/controlpb"
	"github.com/meshway/meshway/agent/control/controlpb/controlpbconnect"
	"github.com/spf13/cobra"
)

func newJoinCommand(a *app) *cobra.Command {
	var file, via string
	cmd := &cobra.Command{
		Use:   "join TOKEN|- | --via CONTEXT",
		Short: "Join the federation that a token invites to",
		Long: `Joins this datacenter to the federation that made the token. Whoever reads the
token can use it, and arguments show in ps: with - it is read from stdin, with
--token-file from a file. With --via a token is made in another Kubernetes cluster
and used at once. A join that is refused changes nothing on either side.`,
		Example: `  meshctl join -                        # then paste the token
  meshctl join --token-file /run/secrets/meshway-token
  meshctl token create | ssh gateway.west meshctl join -
  meshctl join --context west --via east`,
		Args: positional(0, 1, "one token"),
		RunE: func(cmd *cobra.Command, args []string) error {
			token, err := a.joinToken(cmd, args, file, via)
			if err != nil {
				return err
			}
			return a.callLong(cmd, func(ctx context.Context, client controlpbconnect.OperatorClient) error {
				return join(ctx, a, client, token)
			})
		},
	}
	cmd.Flags().StringVar(&file, "token-file", "", "file that holds the token")
	cmd.Flags().StringVar(&via, "via", "", "context of kubectl of a cluster that is a member: it makes the token")
	return cmd
}

func join(ctx context.Context, a *app, client controlpbconnect.OperatorClient, token string) error {
	err := a.follow(ctx, "joining", func() (*connect.ServerStreamForClient[controlpb.Progress], error) {
		return client.JoinFederation(ctx, connect.NewRequest(&controlpb.JoinFederationRequest{Token: token}))
	})
	if err != nil {
		return err
	}
	a.hint("next: meshctl status")
	return nil
}

// joinToken gets the token from the user, or from a cluster that is a member.
func (a *app) joinToken(cmd *cobra.Command, args []string, file, via string) (string, error) {
	if via == "" {
		return readToken(cmd, a, args, file)
	}
	if len(args) > 0 || file != "" {
		return "", usagef("--via makes a token: give none")
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), a.options.timeout)
	defer cancel()
	client := a.client(cluster{context: via, namespace: a.options.cluster.namespace})
	response, err := client.CreateToken(ctx, connect.NewRequest(&controlpb.CreateTokenRequest{}))
	if err != nil {
		return "", err
	}
	return response.Msg.GetToken(), nil
}

// readToken gets the token from where the user put it; exactly one place.
func readToken(cmd *cobra.Command, a *app, args []string, file string) (string, error) {
	var text []byte
	var err error
	switch {
	case len(args) == 1 && file != "":
		return "", usagef("the token was given twice: as an argument and with --token-file")
	case len(args) == 0 && file == "":
		f := usagef("meshctl join needs a token, - to read it from stdin, or --token-file")
		f.remedy, f.usage = "`meshctl token create` on a gateway of the federation prints one", cmd.UseLine()
		return "", f
	case file != "":
		text, err = os.ReadFile(file)
	case args[0] == "-":
		text, err = a.readStdin(cmd.Context(), "paste the token, then Enter: ")
	default:
		text = []byte(args[0])
	}
	if err != nil {
		return "", fmt.Errorf("read token: %w", err)
	}
	token := strings.TrimSpace(string(text))
	if token == "" {
		return "", usagef("the token is empty")
	}
	return token, nil
}

// maxInput bounds what is read from stdin, bytes.
const maxInput = 64 << 10

// readStdin reads one line from a terminal, all there is from elsewhere. The
// read cannot be interrupted: when ctx ends first its goroutine is left
// behind, and the process ends right after.
func (a *app) readStdin(ctx context.Context, prompt string) ([]byte, error) {
	_, interactive := terminal(a.in)
	if interactive {
		fmt.Fprint(a.err, prompt)
	}
	type result struct {
		text []byte
		err  error
	}
	done := make(chan result, 1)
	go func() {
		text, err := readInput(a.in, interactive)
		done <- result{text, err}
	}()
	select {
	case <-ctx.Done():
		return nil, errInterrupted
	case r := <-done:
		return r.text, r.err
	}
}

func readInput(in io.Reader, interactive bool) ([]byte, error) {
	in = io.LimitReader(in, maxInput)
	if !interactive {
		return io.ReadAll(in)
	}
	text, err := bufio.NewReader(in).ReadBytes('\n')
	if err == io.EOF {
		err = nil
	}
	return text, err
}

// confirm asks before something that cannot be undone; --yes answers for scripts.
func (a *app) confirm(ctx context.Context, yes bool, question string) error {
	if yes {
		return nil
	}
	if _, interactive := terminal(a.in); !interactive {
		f := usagef("%s needs a yes, and stdin is not a terminal", question)
		f.remedy = "add --yes"
		return f
	}
	text, err := a.readStdin(ctx, question+"? Type yes to go on: ")
	if err != nil {
		return err
	}
	if strings.TrimSpace(string(text)) != "yes" {
		return &fault{code: exitFailure, message: "not confirmed: nothing was changed"}
	}
	return nil
}

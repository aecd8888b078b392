package main

import (
	"cmp"
	"context"
	"errors"
	"io"
	"os/exec"
	"time"

	"github.com/spf13/cobra"

	"github.com/meshway/meshway/agent/admin/adminclient"
	"github.com/meshway/meshway/agent/control/controlpb/controlpbconnect"
	"github.com/meshway/meshway/cmd/meshctl/internal/fault"
	"github.com/meshway/meshway/cmd/meshctl/internal/human"
	"github.com/meshway/meshway/cmd/meshctl/internal/kubectl"
	"github.com/meshway/meshway/cmd/meshctl/internal/output"
)

// app holds what commands work with: streams, clock, connections and global
// flags. Tests replace its functions.
type app struct {
	name     string // of the program in its help
	in       io.Reader
	out, err io.Writer
	getenv   func(string) string
	now      func() time.Time
	// dialSocket and dialCluster return clients of the meshd of this host and of
	// a Kubernetes cluster.
	dialSocket  func(socket string) controlpbconnect.OperatorClient
	dialCluster func(kubectl.Cluster) controlpbconnect.OperatorClient
	// gatewayNodes lists the nodes of a cluster that are gateways.
	gatewayNodes func(context.Context, kubectl.Cluster) ([]string, error)
	kubectl      func(ctx context.Context, c kubectl.Cluster, in string, args ...string) (string, error)
	lookupTXT    func(ctx context.Context, c kubectl.Cluster, pod, port, name string) ([]string, error)
	execute      func(ctx context.Context, a *app, name string, args ...string) error
	options      options
}

// options are the global flags.
type options struct {
	socket  string
	cluster kubectl.Cluster // of --context and --node; without a context meshd is on this host
	output  output.Format
	color   output.Color
	timeout time.Duration
}

func newApp(getenv func(string) string, in io.Reader, out, err io.Writer) *app {
	return &app{
		name:         programName,
		in:           in,
		out:          out,
		err:          err,
		getenv:       getenv,
		now:          time.Now,
		dialSocket:   adminclient.Dial,
		dialCluster:  kubectl.Cluster.Client,
		gatewayNodes: func(ctx context.Context, c kubectl.Cluster) ([]string, error) { return c.Gateways(ctx) },
		kubectl:      kubectl.Run,
		lookupTXT:    kubectl.LookupTXT,
		execute:      execute,
		options:      options{output: output.Table, color: output.ColorAuto},
	}
}

func (a *app) main(ctx context.Context, args []string) int {
	root := newRootCommand(a)
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	var f *fault.Fault
	if err != nil && ctx.Err() != nil && !errors.As(err, &f) {
		err = fault.ErrInterrupted
	}
	return a.report(err)
}

// call runs do with a client of meshd, for at most --timeout.
func (a *app) call(cmd *cobra.Command, do func(context.Context, controlpbconnect.OperatorClient) error) error {
	return a.callWithin(cmd, a.options.timeout, do)
}

// callLong is call with longTimeout as the default of --timeout, for operations
// that may take minutes.
func (a *app) callLong(cmd *cobra.Command, do func(context.Context, controlpbconnect.OperatorClient) error) error {
	limit := longTimeout
	if cmd.Flags().Changed("timeout") {
		limit = a.options.timeout
	}
	return a.callWithin(cmd, limit, do)
}

func (a *app) callWithin(cmd *cobra.Command, limit time.Duration, do func(context.Context, controlpbconnect.OperatorClient) error) error {
	if c := a.options.cluster; c.Node != "" && c.Context == "" {
		f := fault.Usagef("--node needs --context")
		f.Field, f.Remedy = "--node", "add --context with the kubectl context of the node's cluster"
		return f
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), limit)
	defer cancel()
	return do(ctx, a.client(a.options.cluster))
}

// client returns a client of the meshd in c, or of this host if c has no context.
func (a *app) client(c kubectl.Cluster) controlpbconnect.OperatorClient {
	if c.Context == "" {
		return a.dialSocket(a.options.socket)
	}
	return a.dialCluster(c)
}

// defaultWidth is the width in columns of output that is not for a terminal.
const defaultWidth = 80

// width returns the greatest width of tables in columns; 0 is no limit.
func (a *app) width() int {
	if a.options.output == output.Wide {
		return 0
	}
	width, _ := output.Terminal(a.out)
	return cmp.Or(width, defaultWidth)
}

// paint returns the painter for w, according to --color, NO_COLOR
// (no-color.org) and TERM.
func (a *app) paint(w io.Writer) human.Painter {
	switch a.options.color {
	case output.ColorAlways:
		return true
	case output.ColorNever:
		return false
	default:
		_, ok := output.Terminal(w)
		return human.Painter(ok && a.getenv("NO_COLOR") == "" && a.getenv("TERM") != "dumb")
	}
}

// execute runs another program with the streams of meshctl.
func execute(ctx context.Context, a *app, name string, args ...string) error {
	command := exec.CommandContext(ctx, name, args...)
	command.Stdin, command.Stdout, command.Stderr = a.in, a.out, a.err
	return command.Run()
}

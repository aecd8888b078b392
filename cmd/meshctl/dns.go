package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/meshway/meshway/cmd/meshctl/internal/command"
	"github.com/meshway/meshway/cmd/meshctl/internal/coredns"
	"github.com/meshway/meshway/cmd/meshctl/internal/corefile"
	"github.com/meshway/meshway/cmd/meshctl/internal/kubectl"
)

func newDNSCommand(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "dns",
		Short:   "Configure DNS for imported services in a Kubernetes cluster",
		Example: `  meshctl dns enable --context east`,
	}
	cmd.AddCommand(newDNSEnableCommand(a), newDNSDisableCommand(a))
	return command.Parent(cmd)
}

func newDNSEnableCommand(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "enable",
		Short: "Configure CoreDNS to answer for " + corefile.Zone,
		Long: `Configures the CoreDNS of a cluster to answer for the names of imported
services, NAME.NAMESPACE.svc.` + corefile.Zone + `: it adds the zone to the
kubernetes plugin of the Corefile and permits CoreDNS to read ServiceImports. It
uses kubectl with your permissions and needs CoreDNS 1.12.2 or newer. Running it
again changes nothing. For GitOps, --dry-run prints the changes.

The command returns when all CoreDNS pods answer for the zone, to requests
through kubectl port-forward. CoreDNS reloads the Corefile within two minutes;
--restart replaces the pods one by one, which is faster.`,
		Example: `  meshctl dns enable --context east
  meshctl dns enable --context east --restart
  meshctl dns enable --context east --dry-run`,
	}
	return withDNSFlags(a, cmd, coredns.Enable())
}

func newDNSDisableCommand(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "disable",
		Short: "Remove " + corefile.Zone + " from CoreDNS",
		Long: `Removes ` + corefile.Zone + ` from the Corefile of a cluster's CoreDNS, and its
permission to read ServiceImports.`,
		Example: `  meshctl dns disable --context east
  meshctl dns disable --context east --dry-run`,
	}
	return withDNSFlags(a, cmd, coredns.Disable())
}

func withDNSFlags(a *app, cmd *cobra.Command, change coredns.Change) *cobra.Command {
	cmd.Args = command.Positional(0, 0, "no arguments")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		limit := longTimeout
		if cmd.Flags().Changed("timeout") {
			limit = a.options.timeout
		}
		ctx, cancel := context.WithTimeout(cmd.Context(), limit)
		defer cancel()
		at := kubectl.Cluster{Context: a.options.cluster.Context, Namespace: coredns.Namespace}
		return change.Run(ctx, coredns.Server{
			Context: at.Context,
			Kubectl: func(ctx context.Context, in string, args ...string) (string, error) {
				return a.kubectl(ctx, at, in, args...)
			},
			LookupTXT: func(ctx context.Context, pod, port, name string) ([]string, error) {
				return a.lookupTXT(ctx, at, pod, port, name)
			},
			Out:  a.out,
			Hint: a.hint,
		})
	}
	cmd.Flags().BoolVar(&change.DryRun, "dry-run", false, "only print the changes")
	cmd.Flags().BoolVar(&change.Wait, "wait", true, "wait until CoreDNS has read the new Corefile")
	cmd.Flags().BoolVar(&change.Restart, "restart", false, "replace the CoreDNS pods instead of waiting for their reload")
	return cmd
}

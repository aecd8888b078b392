package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"

	"github.com/spf13/cobra"

	"github.com/meshway/meshway/cmd/meshctl/internal/corefile"
)

// Where kubeadm and most installers put CoreDNS.
const (
	dnsNamespace = "kube-system"
	dnsObject    = "coredns" // the ConfigMap and the service account
)

// dnsGrant lets CoreDNS read imported services; EndpointSlices it reads already.
const dnsGrant = `apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata:
  name: meshway:coredns
rules:
- apiGroups: [multicluster.x-k8s.io]
  resources: [serviceimports]
  verbs: [list, watch]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata:
  name: meshway:coredns
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: ClusterRole
  name: meshway:coredns
subjects:
- kind: ServiceAccount
  name: ` + dnsObject + `
  namespace: ` + dnsNamespace + `
`

func newDNSCommand(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "dns",
		Short:   "Give imported services names in a Kubernetes cluster",
		Example: `  meshctl dns enable --context east`,
	}
	cmd.AddCommand(newDNSEnableCommand(a), newDNSDisableCommand(a))
	return asParent(cmd)
}

func newDNSEnableCommand(a *app) *cobra.Command {
	change := dnsChange{apply: corefile.Enable, done: "CoreDNS answers for " + corefile.Zone}
	// The grant first: a CoreDNS that may not read ServiceImports does not become ready.
	change.before = []string{"apply", "-f", "-"}
	cmd := &cobra.Command{
		Use:   "enable",
		Short: "Make CoreDNS answer for " + corefile.Zone,
		Long: `Makes the CoreDNS of a cluster answer for NAME.NAMESPACE.svc.` + corefile.Zone + `: it adds the
zone to the kubernetes plugin of its Corefile and lets it read ServiceImports. It
needs CoreDNS 1.12.2 or newer, and works through kubectl, with your rights there.
Doing it again changes nothing. For GitOps: --dry-run prints what to write down.

It returns when all pods of CoreDNS have read the new Corefile. By itself CoreDNS
does so within two minutes; --restart replaces the pods, one by one, which is faster.`,
		Example: `  meshctl dns enable --context east
  meshctl dns enable --context east --restart
  meshctl dns enable --context east --dry-run`,
	}
	return withDNSFlags(a, cmd, change)
}

func newDNSDisableCommand(a *app) *cobra.Command {
	change := dnsChange{
		apply: func(text string) (string, error) { return corefile.Disable(text), nil },
		done:  "CoreDNS does not answer for " + corefile.Zone + " any more",
		after: []string{"delete", "--ignore-not-found", "-f", "-"},
	}
	cmd := &cobra.Command{
		Use:   "disable",
		Short: "Take back what enable did",
		Long: `Takes ` + corefile.Zone + ` out of the Corefile of a cluster's CoreDNS, and the right to
read ServiceImports from it.`,
		Example: `  meshctl dns disable --context east
  meshctl dns disable --context east --dry-run`,
	}
	return withDNSFlags(a, cmd, change)
}

func withDNSFlags(a *app, cmd *cobra.Command, change dnsChange) *cobra.Command {
	cmd.Args = positional(0, 0, "no arguments")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		limit := longTimeout
		if cmd.Flags().Changed("timeout") {
			limit = a.options.timeout
		}
		ctx, cancel := context.WithTimeout(cmd.Context(), limit)
		defer cancel()
		return change.run(ctx, a)
	}
	cmd.Flags().BoolVar(&change.dryRun, "dry-run", false, "only print what would change")
	cmd.Flags().BoolVar(&change.wait, "wait", true, "wait until CoreDNS has read the new Corefile")
	cmd.Flags().BoolVar(&change.restart, "restart", false, "replace the pods of CoreDNS instead of waiting for its reload")
	return cmd
}

// dnsChange is a change of a cluster's Corefile, with what else belongs to it.
type dnsChange struct {
	apply                 func(corefile string) (string, error)
	before, after         []string // arguments of kubectl, with the grant as its input
	done                  string   // what then holds
	dryRun, wait, restart bool
}

func (d *dnsChange) run(ctx context.Context, a *app) error {
	dns := coredns{app: a, where: cluster{context: a.options.cluster.context, namespace: dnsNamespace}}
	before, err := dns.kubectl(ctx, "", "get", "configmap", dnsObject, "-o", `jsonpath={.data.Corefile}`)
	if err != nil {
		return err
	}
	after, err := d.apply(before)
	if err != nil {
		return &fault{
			code: exitRefused, message: fmt.Sprintf("configmap %s/%s: %s", dnsNamespace, dnsObject, err),
			remedy: "configure the DNS server of this cluster by hand: see the README, Kubernetes",
		}
	}
	if d.dryRun {
		fmt.Fprintf(a.out, "%s---\n%s", corefile.Diff(before, after), dnsGrant)
		return nil
	}
	if err := dns.grant(ctx, d.before); err != nil {
		return err
	}
	if before == after {
		fmt.Fprintf(a.out, "nothing to change: %s already\n", d.done)
		return dns.grant(ctx, d.after)
	}
	if err := dns.write(ctx, after); err != nil {
		return err
	}
	fmt.Fprint(a.out, corefile.Diff(before, after))
	if err := d.settle(ctx, dns, after); err != nil {
		return err
	}
	return dns.grant(ctx, d.after)
}

// settle brings CoreDNS to read its Corefile, as the flags say.
func (d *dnsChange) settle(ctx context.Context, dns coredns, text string) error {
	reloads := strings.Contains(text, "\n    reload")
	switch {
	case d.restart:
		if err := dns.restart(ctx, d.wait); err != nil {
			return err
		}
	case !reloads:
		dns.app.hint("this CoreDNS does not reload by itself; next: kubectl -n %s rollout restart deployment %s", dnsNamespace, dnsObject)
		return nil
	case d.wait:
		if err := dns.awaitReload(ctx); err != nil {
			return err
		}
	}
	if d.wait {
		fmt.Fprintln(dns.app.out, d.done)
	} else {
		fmt.Fprintf(dns.app.out, "within two minutes %s\n", d.done)
	}
	return nil
}

// runKubectl gives what kubectl prints.
func runKubectl(ctx context.Context, c cluster, in string, args ...string) (string, error) {
	cmd := c.kubectl(ctx, args...)
	var complaint bytes.Buffer
	cmd.Stdin, cmd.Stderr = strings.NewReader(in), &complaint
	out, err := cmd.Output()
	switch {
	case errors.Is(err, exec.ErrNotFound):
		return "", &fault{code: exitUnreachable, message: "this needs kubectl, which is not there", remedy: "install kubectl"}
	case err != nil:
		return "", &fault{
			code: exitUnreachable, message: fmt.Sprintf("kubectl %s: %s", args[0], complaintOf(complaint.String())),
			remedy: "see kubectl config get-contexts, and whether you may change " + dnsNamespace,
		}
	}
	return string(out), nil
}

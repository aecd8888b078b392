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

// The namespace and name of CoreDNS with kubeadm and most other installers.
const (
	dnsNamespace = "kube-system"
	corednsName  = "coredns" // of its Deployment, ConfigMap and ServiceAccount
)

// dnsRBAC permits CoreDNS to read ServiceImports; it may read EndpointSlices
// already.
const dnsRBAC = `apiVersion: rbac.authorization.k8s.io/v1
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
  name: ` + corednsName + `
  namespace: ` + dnsNamespace + `
`

func newDNSCommand(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "dns",
		Short:   "Configure DNS for imported services in a Kubernetes cluster",
		Example: `  meshctl dns enable --context east`,
	}
	cmd.AddCommand(newDNSEnableCommand(a), newDNSDisableCommand(a))
	return asParent(cmd)
}

func newDNSEnableCommand(a *app) *cobra.Command {
	change := dnsChange{apply: corefile.Enable, done: "CoreDNS answers for " + corefile.Zone}
	// RBAC first: without it the new CoreDNS pods do not become ready.
	change.rbacBefore = []string{"apply", "-f", "-"}
	cmd := &cobra.Command{
		Use:   "enable",
		Short: "Configure CoreDNS to answer for " + corefile.Zone,
		Long: `Configures the CoreDNS of a cluster to answer for the names of imported
services, NAME.NAMESPACE.svc.` + corefile.Zone + `: it adds the zone to the
kubernetes plugin of the Corefile and permits CoreDNS to read ServiceImports. It
uses kubectl with your permissions and needs CoreDNS 1.12.2 or newer. Running it
again changes nothing. For GitOps, --dry-run prints the changes.

The command returns after all CoreDNS pods have read the new Corefile. CoreDNS
reloads it within two minutes; --restart replaces the pods one by one, which is
faster.`,
		Example: `  meshctl dns enable --context east
  meshctl dns enable --context east --restart
  meshctl dns enable --context east --dry-run`,
	}
	return withDNSFlags(a, cmd, change)
}

func newDNSDisableCommand(a *app) *cobra.Command {
	change := dnsChange{
		apply:     func(text string) (string, error) { return corefile.Disable(text), nil },
		done:      "CoreDNS no longer answers for " + corefile.Zone,
		rbacAfter: []string{"delete", "--ignore-not-found", "-f", "-"},
	}
	cmd := &cobra.Command{
		Use:   "disable",
		Short: "Remove " + corefile.Zone + " from CoreDNS",
		Long: `Removes ` + corefile.Zone + ` from the Corefile of a cluster's CoreDNS, and its
permission to read ServiceImports.`,
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
	cmd.Flags().BoolVar(&change.dryRun, "dry-run", false, "only print the changes")
	cmd.Flags().BoolVar(&change.wait, "wait", true, "wait until CoreDNS has read the new Corefile")
	cmd.Flags().BoolVar(&change.restart, "restart", false, "replace the CoreDNS pods instead of waiting for their reload")
	return cmd
}

// dnsChange is a change of a cluster's Corefile, and of dnsRBAC before or after
// it.
type dnsChange struct {
	apply                 func(corefile string) (string, error)
	rbacBefore, rbacAfter []string // arguments of kubectl; nil: no change
	done                  string   // the state after the change, for the user
	dryRun, wait, restart bool
}

func (d *dnsChange) run(ctx context.Context, a *app) error {
	dns := coredns{app: a, cluster: cluster{context: a.options.cluster.context, namespace: dnsNamespace}}
	before, err := dns.kubectl(ctx, "", "get", "configmap", corednsName, "-o", `jsonpath={.data.Corefile}`)
	if err != nil {
		return err
	}
	after, err := d.apply(before)
	if err != nil {
		return &fault{
			code:    exitRefused,
			message: fmt.Sprintf("configmap %s/%s: %s", dnsNamespace, corednsName, err),
			remedy:  "configure the DNS server of this cluster manually: see the README, Kubernetes",
		}
	}
	if d.dryRun {
		fmt.Fprintf(a.out, "%s---\n%s", corefile.Diff(before, after), dnsRBAC)
		return nil
	}
	if err := dns.updateRBAC(ctx, d.rbacBefore); err != nil {
		return err
	}
	if before == after {
		fmt.Fprintf(a.out, "no change needed: %s\n", d.done)
		return dns.updateRBAC(ctx, d.rbacAfter)
	}
	if err := dns.write(ctx, after); err != nil {
		return err
	}
	fmt.Fprint(a.out, corefile.Diff(before, after))
	if err := d.reload(ctx, dns, after); err != nil {
		return err
	}
	return dns.updateRBAC(ctx, d.rbacAfter)
}

// reload waits until CoreDNS has read its Corefile, or restarts it, according to
// the flags.
func (d *dnsChange) reload(ctx context.Context, dns coredns, text string) error {
	reloadsByItself := strings.Contains(text, "\n    reload")
	switch {
	case d.restart:
		if err := dns.restart(ctx, d.wait); err != nil {
			return err
		}
	case !reloadsByItself:
		dns.app.hint("the Corefile has no reload plugin; next: kubectl -n %s rollout restart deployment %s", dnsNamespace, corednsName)
		return nil
	case d.wait:
		if err := dns.awaitReload(ctx); err != nil {
			return err
		}
	}
	if d.wait {
		fmt.Fprintln(dns.app.out, d.done)
	} else {
		fmt.Fprintf(dns.app.out, "within two minutes, %s\n", d.done)
	}
	return nil
}

// runKubectl runs kubectl with in as its input and returns its output.
func runKubectl(ctx context.Context, c cluster, in string, args ...string) (string, error) {
	cmd := c.kubectl(ctx, args...)
	var stderr bytes.Buffer
	cmd.Stdin, cmd.Stderr = strings.NewReader(in), &stderr
	out, err := cmd.Output()
	switch {
	case errors.Is(err, exec.ErrNotFound):
		return "", &fault{
			code:    exitUnreachable,
			message: "the command needs kubectl, which is not installed",
			remedy:  "install kubectl",
		}
	case err != nil:
		return "", &fault{
			code:    exitUnreachable,
			message: fmt.Sprintf("kubectl %s: %s", args[0], kubectlMessage(stderr.String())),
			remedy:  "check kubectl config get-contexts, and your permissions in namespace " + dnsNamespace,
		}
	}
	return string(out), nil
}

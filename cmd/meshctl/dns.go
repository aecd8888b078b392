package main

import (
	"bytes"
	"context"
	"encoding/json"
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
	cmd.AddCommand(newDNSEnableCommand(a))
	return asParent(cmd)
}

func newDNSEnableCommand(a *app) *cobra.Command {
	var dryRun bool
	cmd := &cobra.Command{
		Use:   "enable",
		Short: "Make CoreDNS answer for " + corefile.Zone,
		Long: `Makes the CoreDNS of a cluster answer for NAME.NAMESPACE.svc.` + corefile.Zone + `: it adds the
zone to the kubernetes plugin of its Corefile and lets it read ServiceImports. It
needs CoreDNS 1.12.2 or newer, and works through kubectl, with your rights there.
Doing it again changes nothing. For GitOps: --dry-run prints what to write down.`,
		Example: `  meshctl dns enable --context east
  meshctl dns enable --context east --dry-run`,
		Args: positional(0, 0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, cancel := context.WithTimeout(cmd.Context(), a.options.timeout)
			defer cancel()
			return enableDNS(ctx, a, dryRun)
		},
	}
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "only print what would change")
	return cmd
}

func enableDNS(ctx context.Context, a *app, dryRun bool) error {
	where := cluster{context: a.options.cluster.context, namespace: dnsNamespace}
	before, err := a.kubectl(ctx, where, "", "get", "configmap", dnsObject, "-o", `jsonpath={.data.Corefile}`)
	if err != nil {
		return err
	}
	after, err := corefile.Enable(before)
	if err != nil {
		return &fault{
			code: exitRefused, message: fmt.Sprintf("configmap %s/%s: %s", dnsNamespace, dnsObject, err),
			remedy: "configure the DNS server of this cluster by hand: see the README, Kubernetes",
		}
	}
	if dryRun {
		fmt.Fprintf(a.out, "%s---\n%s", corefile.Diff(before, after), dnsGrant)
		return nil
	}
	// The grant first: a CoreDNS that may not read ServiceImports does not become ready.
	if _, err := a.kubectl(ctx, where, dnsGrant, "apply", "-f", "-"); err != nil {
		return err
	}
	if before == after {
		fmt.Fprintf(a.out, "CoreDNS answers for %s already\n", corefile.Zone)
		return nil
	}
	patch, err := json.Marshal(map[string]any{"data": map[string]string{"Corefile": after}})
	if err != nil {
		return fmt.Errorf("encode patch: %w", err)
	}
	if _, err := a.kubectl(ctx, where, "", "patch", "configmap", dnsObject, "--type", "merge", "--patch", string(patch)); err != nil {
		return err
	}
	fmt.Fprint(a.out, corefile.Diff(before, after))
	fmt.Fprintf(a.out, "CoreDNS answers for %s within a minute", corefile.Zone)
	if !strings.Contains(after, "\n    reload") {
		fmt.Fprintf(a.out, " after: kubectl -n %s rollout restart deployment %s", dnsNamespace, dnsObject)
	}
	fmt.Fprintln(a.out)
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
			code: exitUnreachable, message: fmt.Sprintf("kubectl %s: %s", args[0], strings.TrimSpace(complaint.String())),
			remedy: "see kubectl config get-contexts, and whether you may change " + dnsNamespace,
		}
	}
	return string(out), nil
}

package coredns

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/meshway/meshway/cmd/meshctl/internal/corefile"
	"github.com/meshway/meshway/cmd/meshctl/internal/fault"
)

// The namespace and name of CoreDNS with kubeadm and most other installers.
const (
	Namespace = "kube-system"
	name      = "coredns" // of its Deployment, ConfigMap and ServiceAccount
)

// rbac permits CoreDNS to read ServiceImports; it may read EndpointSlices
// already.
const rbac = `apiVersion: rbac.authorization.k8s.io/v1
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
  name: ` + name + `
  namespace: ` + Namespace + `
`

// Change is a change of a cluster's Corefile, and of rbac before or after
// it.
type Change struct {
	apply                 func(corefile string) (string, error)
	rbacBefore, rbacAfter []string // arguments of kubectl; nil: no change
	answers               bool     // whether CoreDNS answers for corefile.Zone after the change
	command, done         string   // the command, and the state after the change, for the user
	DryRun, Wait, Restart bool
}

// Enable returns the change after which CoreDNS answers for corefile.Zone.
func Enable() Change {
	return Change{
		apply:      corefile.Enable,
		rbacBefore: []string{"apply", "-f", "-"}, // without it the new CoreDNS pods do not become ready
		answers:    true,
		command:    "meshctl dns enable",
		done:       "CoreDNS answers for " + corefile.Zone,
	}
}

// Disable returns the change that undoes Enable.
func Disable() Change {
	return Change{
		apply:     func(text string) (string, error) { return corefile.Disable(text), nil },
		rbacAfter: []string{"delete", "--ignore-not-found", "-f", "-"},
		command:   "meshctl dns disable",
		done:      "CoreDNS no longer answers for " + corefile.Zone,
	}
}

// Run makes the change, and waits for CoreDNS according to Wait and Restart.
func (d *Change) Run(ctx context.Context, dns Server) error {
	state := "the Corefile is unchanged"
	err := d.run(ctx, dns, &state)
	if err == nil || ctx.Err() == nil || !errors.Is(context.Cause(ctx), context.Canceled) {
		return err
	}
	return &fault.Fault{
		Code:    fault.ExitInterrupted,
		Message: "interrupted: " + state,
		Remedy:  fmt.Sprintf("run %s --context %s again: it goes on where it was interrupted", d.command, dns.Context),
	}
}

// run sets state to what an interruption leaves behind.
func (d *Change) run(ctx context.Context, dns Server, state *string) error {
	before, err := dns.Kubectl(ctx, "", "get", "configmap", name, "-o", `jsonpath={.data.Corefile}`)
	if err != nil {
		return err
	}
	after, err := d.apply(before)
	if err != nil {
		return &fault.Fault{
			Code:    fault.ExitRefused,
			Message: fmt.Sprintf("configmap %s/%s: %s", Namespace, name, err),
			Remedy:  "configure the DNS server of this cluster manually: see the README, Kubernetes",
		}
	}
	if d.DryRun {
		fmt.Fprintf(dns.Out, "%s---\n%s", corefile.Diff(before, after), rbac)
		return nil
	}
	if err := dns.updateRBAC(ctx, d.rbacBefore); err != nil {
		return err
	}
	if before == after {
		if used, err := d.inUse(ctx, dns); err != nil || used {
			return errors.Join(err, dns.updateRBAC(ctx, d.rbacAfter))
		}
	} else {
		*state = "the Corefile may be written already"
		if err := dns.write(ctx, after); err != nil {
			return err
		}
		fmt.Fprint(dns.Out, corefile.Diff(before, after))
	}
	*state = "the Corefile is written, and CoreDNS reads it within two minutes"
	if err := d.reload(ctx, dns, after); err != nil {
		return err
	}
	return dns.updateRBAC(ctx, d.rbacAfter)
}

// inUse reports whether CoreDNS uses a Corefile that was written before. An earlier run
// that was interrupted did not wait for that.
func (d *Change) inUse(ctx context.Context, dns Server) (bool, error) {
	waiting := 0
	if d.Wait {
		var err error
		if waiting, err = dns.newWait(d.answers).pending(ctx); err != nil {
			return false, err
		}
	}
	if waiting == 0 {
		fmt.Fprintf(dns.Out, "no change needed: %s\n", d.done)
	}
	return waiting == 0, nil
}

// reload waits until CoreDNS uses its Corefile, or restarts it, according to the
// flags.
func (d *Change) reload(ctx context.Context, dns Server, text string) error {
	reloadsByItself := strings.Contains(text, "\n    reload")
	switch {
	case d.Restart:
		if err := dns.restart(ctx, d.Wait); err != nil {
			return err
		}
	case !reloadsByItself:
		dns.Hint("the Corefile has no reload plugin; next: kubectl -n %s rollout restart deployment %s", Namespace, name)
		return nil
	case d.Wait:
		if err := dns.awaitReload(ctx, d.answers); err != nil {
			return err
		}
	}
	if d.Wait {
		fmt.Fprintln(dns.Out, d.done)
	} else {
		fmt.Fprintf(dns.Out, "within two minutes, %s\n", d.done)
	}
	return nil
}

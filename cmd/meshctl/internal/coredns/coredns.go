package coredns

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/meshway/meshway/cmd/meshctl/internal/fault"
)

const (
	selector = "k8s-app=kube-dns" // of the pods, for kubeadm and most installers
	// reloadInterval is the time between two checks of the logs of CoreDNS.
	reloadInterval = 2 * time.Second
	// Messages that CoreDNS logs after it has read its Corefile, or has rejected it.
	reloadDone   = "Running configuration"
	reloadFailed = "reload failed"
)

// Server manages the DNS server of a cluster through kubectl.
type Server struct {
	Context string // of kubectl
	// Kubectl runs in Namespace of the cluster and returns its output; in is its
	// input.
	Kubectl func(ctx context.Context, in string, args ...string) (string, error)
	Out     io.Writer                        // changes and their result
	Hint    func(format string, args ...any) // what the command waits for
}

// updateRBAC runs kubectl with args and rbac as its input. With nil args it
// does nothing.
func (c Server) updateRBAC(ctx context.Context, args []string) error {
	if args == nil {
		return nil
	}
	_, err := c.Kubectl(ctx, rbac, args...)
	return err
}

func (c Server) write(ctx context.Context, text string) error {
	patch, err := json.Marshal(map[string]any{"data": map[string]string{"Corefile": text}})
	if err != nil {
		return fmt.Errorf("encode patch: %w", err)
	}
	_, err = c.Kubectl(ctx, "", "patch", "configmap", name, "--type", "merge", "--patch", string(patch))
	return err
}

// restart replaces the pods according to the strategy of the Deployment, and
// with wait returns after the last one is ready.
func (c Server) restart(ctx context.Context, wait bool) error {
	if _, err := c.Kubectl(ctx, "", "rollout", "restart", "deployment/"+name); err != nil || !wait {
		return err
	}
	c.Hint("waiting for the new CoreDNS pods")
	_, err := c.Kubectl(ctx, "", "rollout", "status", "deployment/"+name, "--timeout=4m")
	return err
}

// awaitReload returns after every pod has logged that it read its Corefile. It
// passes the time waited so far to the kubelet, so that clocks need not agree.
func (c Server) awaitReload(ctx context.Context) error {
	begun, tick := time.Now(), time.NewTicker(reloadInterval)
	defer tick.Stop()
	c.Hint("waiting up to two minutes for CoreDNS to reload (--restart is faster)")
	reported := map[string]bool{}
	for {
		waiting, err := c.pending(ctx, time.Since(begun), reported)
		if err != nil || waiting == 0 {
			return err
		}
		select {
		case <-ctx.Done():
			return &fault.Fault{
				Code:    fault.ExitNoLeader,
				Message: fmt.Sprintf("the Corefile is written, but %d CoreDNS pods have not reloaded it yet", waiting),
				Remedy:  fmt.Sprintf("run kubectl --context %s -n %s rollout restart deployment/%s", c.Context, Namespace, name),
			}
		case <-tick.C:
		}
	}
}

// pending counts the pods that have not read their Corefile within since, and
// prints the others once; reported holds those already printed.
func (c Server) pending(ctx context.Context, since time.Duration, reported map[string]bool) (waiting int, err error) {
	list, err := c.Kubectl(ctx, "", "get", "pods", "-l", selector, "-o", `jsonpath={range .items[*]}{.metadata.name}{"\n"}{end}`)
	if err != nil {
		return 0, err
	}
	pods := strings.Fields(list)
	if len(pods) == 0 {
		return 0, &fault.Fault{
			Code:    fault.ExitFailure,
			Message: fmt.Sprintf("the Corefile is written, but namespace %[2]s has no pod with label %[1]s to wait for", selector, Namespace),
			Remedy:  "find the CoreDNS pods of this cluster, or use --wait=false",
		}
	}
	slices.Sort(pods)
	for _, pod := range pods {
		if reported[pod] {
			continue
		}
		log, err := c.Kubectl(ctx, "", "logs", pod, fmt.Sprintf("--since=%ds", int(since.Seconds())+1))
		switch {
		case err != nil: // the pod is starting or stopping
			waiting++
		case strings.Contains(log, reloadFailed):
			return 0, &fault.Fault{
				Code:    fault.ExitRefused,
				Message: fmt.Sprintf("CoreDNS rejected the new Corefile and continues with the previous one: %s", lineWith(log, reloadFailed)),
				Remedy:  "use CoreDNS 1.12.2 or newer, or undo the change with `meshctl dns disable`",
			}
		case strings.Contains(log, reloadDone):
			reported[pod] = true
			c.Hint("pod %s has reloaded", pod)
		default:
			waiting++
		}
	}
	return waiting, nil
}

// lineWith returns the first line of text that contains part.
func lineWith(text, part string) string {
	for line := range strings.Lines(text) {
		if strings.Contains(line, part) {
			return strings.TrimSpace(line)
		}
	}
	return ""
}

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"
)

const (
	dnsSelector = "k8s-app=kube-dns" // of the pods, for kubeadm and most installers
	// reloadInterval is the time between two checks of the logs of CoreDNS.
	reloadInterval = 2 * time.Second
	// Messages that CoreDNS logs after it has read its Corefile, or has rejected it.
	reloadDone   = "Running configuration"
	reloadFailed = "reload failed"
)

// coredns manages the DNS server of a cluster through kubectl.
type coredns struct {
	app     *app
	cluster cluster
}

func (c coredns) kubectl(ctx context.Context, in string, args ...string) (string, error) {
	return c.app.kubectl(ctx, c.cluster, in, args...)
}

// updateRBAC runs kubectl with args and dnsRBAC as its input. With nil args it
// does nothing.
func (c coredns) updateRBAC(ctx context.Context, args []string) error {
	if args == nil {
		return nil
	}
	_, err := c.kubectl(ctx, dnsRBAC, args...)
	return err
}

func (c coredns) write(ctx context.Context, text string) error {
	patch, err := json.Marshal(map[string]any{"data": map[string]string{"Corefile": text}})
	if err != nil {
		return fmt.Errorf("encode patch: %w", err)
	}
	_, err = c.kubectl(ctx, "", "patch", "configmap", corednsName, "--type", "merge", "--patch", string(patch))
	return err
}

// restart replaces the pods according to the strategy of the Deployment, and
// with wait returns after the last one is ready.
func (c coredns) restart(ctx context.Context, wait bool) error {
	if _, err := c.kubectl(ctx, "", "rollout", "restart", "deployment/"+corednsName); err != nil || !wait {
		return err
	}
	c.app.hint("waiting for the new CoreDNS pods")
	_, err := c.kubectl(ctx, "", "rollout", "status", "deployment/"+corednsName, "--timeout=4m")
	return err
}

// awaitReload returns after every pod has logged that it read its Corefile. It
// passes the time waited so far to the kubelet, so that clocks need not agree.
func (c coredns) awaitReload(ctx context.Context) error {
	begun, tick := time.Now(), time.NewTicker(reloadInterval)
	defer tick.Stop()
	c.app.hint("waiting up to two minutes for CoreDNS to reload (--restart is faster)")
	reported := map[string]bool{}
	for {
		waiting, err := c.pending(ctx, time.Since(begun), reported)
		if err != nil || waiting == 0 {
			return err
		}
		select {
		case <-ctx.Done():
			return &fault{
				code:    exitNoLeader,
				message: fmt.Sprintf("the Corefile is written, but %d CoreDNS pods have not reloaded it yet", waiting),
				remedy:  fmt.Sprintf("run kubectl --context %s -n %s rollout restart deployment/%s", c.cluster.context, dnsNamespace, corednsName),
			}
		case <-tick.C:
		}
	}
}

// pending counts the pods that have not read their Corefile within since, and
// prints the others once; reported holds those already printed.
func (c coredns) pending(ctx context.Context, since time.Duration, reported map[string]bool) (waiting int, err error) {
	list, err := c.kubectl(ctx, "", "get", "pods", "-l", dnsSelector, "-o", `jsonpath={range .items[*]}{.metadata.name}{"\n"}{end}`)
	if err != nil {
		return 0, err
	}
	pods := strings.Fields(list)
	if len(pods) == 0 {
		return 0, &fault{
			code:    exitFailure,
			message: fmt.Sprintf("the Corefile is written, but namespace %[2]s has no pod with label %[1]s to wait for", dnsSelector, dnsNamespace),
			remedy:  "find the CoreDNS pods of this cluster, or use --wait=false",
		}
	}
	slices.Sort(pods)
	for _, pod := range pods {
		if reported[pod] {
			continue
		}
		log, err := c.kubectl(ctx, "", "logs", pod, fmt.Sprintf("--since=%ds", int(since.Seconds())+1))
		switch {
		case err != nil: // the pod is starting or stopping
			waiting++
		case strings.Contains(log, reloadFailed):
			return 0, &fault{
				code:    exitRefused,
				message: fmt.Sprintf("CoreDNS rejected the new Corefile and continues with the previous one: %s", lineWith(log, reloadFailed)),
				remedy:  "use CoreDNS 1.12.2 or newer, or undo the change with `meshctl dns disable`",
			}
		case strings.Contains(log, reloadDone):
			reported[pod] = true
			c.app.hint("pod %s has reloaded", pod)
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

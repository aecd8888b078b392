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
	// reloadInterval is the time between two looks at the logs of CoreDNS.
	reloadInterval = 2 * time.Second
	// What CoreDNS logs when it has read its Corefile, and when it could not.
	reloadDone   = "Running configuration"
	reloadFailed = "reload failed"
)

// coredns is the DNS server of a cluster, seen through kubectl.
type coredns struct {
	app   *app
	where cluster
}

func (c coredns) kubectl(ctx context.Context, in string, args ...string) (string, error) {
	return c.app.kubectl(ctx, c.where, in, args...)
}

// grant applies or deletes the right to read ServiceImports; nil: neither.
func (c coredns) grant(ctx context.Context, args []string) error {
	if args == nil {
		return nil
	}
	_, err := c.kubectl(ctx, dnsGrant, args...)
	return err
}

func (c coredns) write(ctx context.Context, text string) error {
	patch, err := json.Marshal(map[string]any{"data": map[string]string{"Corefile": text}})
	if err != nil {
		return fmt.Errorf("encode patch: %w", err)
	}
	_, err = c.kubectl(ctx, "", "patch", "configmap", dnsObject, "--type", "merge", "--patch", string(patch))
	return err
}

// restart replaces the pods as the Deployment's strategy says: one by one.
func (c coredns) restart(ctx context.Context, wait bool) error {
	if _, err := c.kubectl(ctx, "", "rollout", "restart", "deployment/"+dnsObject); err != nil || !wait {
		return err
	}
	c.app.hint("waiting for the new pods of CoreDNS")
	_, err := c.kubectl(ctx, "", "rollout", "status", "deployment/"+dnsObject, "--timeout=4m")
	return err
}

// awaitReload returns when every pod has logged since now that it read its
// Corefile. The time is counted here and compared by the kubelet: no two clocks meet.
func (c coredns) awaitReload(ctx context.Context) error {
	begun, tick := time.Now(), time.NewTicker(reloadInterval)
	defer tick.Stop()
	c.app.hint("waiting until CoreDNS has read it, up to two minutes (--restart is faster)")
	reported := map[string]bool{}
	for {
		waiting, err := c.look(ctx, time.Since(begun), reported)
		if err != nil || waiting == 0 {
			return err
		}
		select {
		case <-ctx.Done():
			return &fault{
				code: exitNoLeader, message: fmt.Sprintf("the Corefile is written, but %d pods of CoreDNS have not read it yet", waiting),
				remedy: fmt.Sprintf("kubectl --context %s -n %s rollout restart deployment/%s", c.where.context, dnsNamespace, dnsObject),
			}
		case <-tick.C:
		}
	}
}

// look counts the pods that have not read their Corefile in this time, and
// tells of those that have.
func (c coredns) look(ctx context.Context, since time.Duration, reported map[string]bool) (waiting int, err error) {
	list, err := c.kubectl(ctx, "", "get", "pods", "-l", dnsSelector, "-o", `jsonpath={range .items[*]}{.metadata.name}{"\n"}{end}`)
	if err != nil {
		return 0, err
	}
	pods := strings.Fields(list)
	if len(pods) == 0 {
		return 0, &fault{
			code: exitFailure, message: fmt.Sprintf("the Corefile is written, but there is no pod with label %s in %s to wait for", dnsSelector, dnsNamespace),
			remedy: "see where CoreDNS runs in this cluster; --wait=false does not look",
		}
	}
	slices.Sort(pods)
	for _, pod := range pods {
		if reported[pod] {
			continue
		}
		log, err := c.kubectl(ctx, "", "logs", pod, fmt.Sprintf("--since=%ds", int(since.Seconds())+1))
		switch {
		case err != nil: // a pod that comes or goes
			waiting++
		case strings.Contains(log, reloadFailed):
			return 0, &fault{
				code: exitRefused, message: fmt.Sprintf("CoreDNS refuses its new Corefile and goes on with the former one: %s", lineWith(log, reloadFailed)),
				remedy: "it needs CoreDNS 1.12.2 or newer; `meshctl dns disable` takes the change back",
			}
		case strings.Contains(log, reloadDone):
			reported[pod] = true
			c.app.hint("%s has read it", pod)
		default:
			waiting++
		}
	}
	return waiting, nil
}

func lineWith(text, part string) string {
	for line := range strings.Lines(text) {
		if strings.Contains(line, part) {
			return strings.TrimSpace(line)
		}
	}
	return ""
}

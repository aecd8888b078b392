package coredns

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/meshway/meshway/cmd/meshctl/internal/corefile"
	"github.com/meshway/meshway/cmd/meshctl/internal/fault"
)

const (
	selector = "k8s-app=kube-dns" // of the pods, for kubeadm and most installers
	// reloadInterval is the time between two requests to CoreDNS.
	reloadInterval = 2 * time.Second
	// lookupTimeout bounds such a request.
	lookupTimeout = 5 * time.Second
	// zoneRecord is a name of TXT records that CoreDNS has in each zone of its kubernetes
	// plugin.
	zoneRecord = "dns-version." + corefile.Zone
	// reloadFailed is in the message that CoreDNS logs after it has rejected its Corefile.
	reloadFailed = "reload failed"
)

// Server manages the DNS server of a cluster through kubectl.
type Server struct {
	Context string // of kubectl
	// Kubectl runs in Namespace of the cluster and returns its output; in is its
	// input.
	Kubectl func(ctx context.Context, in string, args ...string) (string, error)
	// LookupTXT requests TXT records from the pod of a DNS server, which listens on port.
	// It returns none if the server has no such name.
	LookupTXT func(ctx context.Context, pod, port, name string) ([]string, error)
	Out       io.Writer                        // changes and their result
	Hint      func(format string, args ...any) // what the command waits for
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

// wait is the wait until all pods answer for corefile.Zone, or none does.
type wait struct {
	server  Server
	answers bool // what is awaited
	begun   time.Time
	done    map[string]bool // pods
	last    error           // of the last request that failed
}

func (c Server) newWait(answers bool) *wait {
	return &wait{server: c, answers: answers, begun: time.Now(), done: map[string]bool{}}
}

// awaitReload returns after every pod answers for corefile.Zone, or no longer does. It
// sends each pod a request: the log of CoreDNS does not show what it read before.
func (c Server) awaitReload(ctx context.Context, answers bool) error {
	w := c.newWait(answers)
	tick := time.NewTicker(reloadInterval)
	defer tick.Stop()
	for hinted := false; ; hinted = true {
		waiting, err := w.pending(ctx)
		switch {
		case ctx.Err() != nil && errors.Is(context.Cause(ctx), context.DeadlineExceeded):
			return w.timeout(max(waiting, 1))
		case err != nil || waiting == 0:
			return err
		case !hinted:
			c.Hint("waiting up to two minutes for CoreDNS to reload (--restart is faster)")
		}
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
	}
}

func (w *wait) timeout(waiting int) error {
	f := &fault.Fault{
		Code:    fault.ExitNoLeader,
		Message: fmt.Sprintf("the Corefile is written, but %d CoreDNS pods do not use it yet", waiting),
		Remedy:  fmt.Sprintf("run kubectl --context %s -n %s rollout restart deployment/%s", w.server.Context, Namespace, name),
	}
	if w.last != nil {
		f.Message += ": " + w.last.Error()
		f.Remedy = fmt.Sprintf("check kubectl --context %s -n %s get pods -l %s, and that you may use kubectl port-forward", w.server.Context, Namespace, selector)
	}
	return f
}

// pending counts the ready pods that do not use the Corefile yet, and prints the others
// once. A pod that is not ready, or is deleted, answers no client of the cluster; it reads
// the Corefile when it starts.
func (w *wait) pending(ctx context.Context) (waiting int, err error) {
	pods, err := w.pods(ctx)
	if err != nil {
		return 0, err
	}
	w.last = nil
	ready := 0
	for _, p := range pods {
		if !p.ready {
			continue
		}
		ready++
		if w.done[p.name] {
			continue
		}
		uses, err := w.uses(ctx, p.name, p.port)
		if err != nil {
			return 0, err
		}
		if !uses {
			waiting++
			continue
		}
		w.done[p.name] = true
		w.server.Hint("pod %s uses the Corefile", p.name)
	}
	if ready == 0 {
		w.last = errors.New("none is ready")
		return len(pods), nil
	}
	return waiting, nil
}

// pod is a pod of CoreDNS.
type pod struct {
	name, port string
	ready      bool // and not deleted
}

// pods returns the pods of CoreDNS by name, at least one.
func (w *wait) pods(ctx context.Context) ([]pod, error) {
	list, err := w.server.Kubectl(ctx, "", "get", "pods", "-l", selector, "-o",
		`jsonpath={range .items[*]}{.metadata.name}/{.spec.containers[*].ports[?(@.name=="dns-tcp")].containerPort}`+
			`/{.status.conditions[?(@.type=="Ready")].status}/{.metadata.deletionTimestamp}{"\n"}{end}`)
	if err != nil {
		return nil, err
	}
	var pods []pod
	for _, entry := range slices.Sorted(strings.FieldsSeq(list)) {
		fields := append(strings.Split(entry, "/"), "", "", "")
		pods = append(pods, pod{name: fields[0], port: cmp.Or(fields[1], "53"), ready: fields[2] == "True" && fields[3] == ""})
	}
	if len(pods) == 0 {
		return nil, &fault.Fault{
			Code:    fault.ExitFailure,
			Message: fmt.Sprintf("the Corefile is written, but namespace %[2]s has no pod with label %[1]s to wait for", selector, Namespace),
			Remedy:  "find the CoreDNS pods of this cluster, or use --wait=false",
		}
	}
	return pods, nil
}

// uses reports whether a pod uses the Corefile. It returns an error if the pod has
// rejected it. The log is read from the time of the kubelet, so that clocks need not
// agree.
func (w *wait) uses(ctx context.Context, pod, port string) (bool, error) {
	lookup, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	records, err := w.server.LookupTXT(lookup, pod, port, zoneRecord)
	if err == nil && (len(records) > 0) == w.answers {
		return true, nil
	}
	if err != nil { // the pod is starting or stopping
		w.last = err
	}
	log, err := w.server.Kubectl(ctx, "", "logs", pod, fmt.Sprintf("--since=%ds", int(time.Since(w.begun).Seconds())+1))
	if err == nil && strings.Contains(log, reloadFailed) {
		return false, &fault.Fault{
			Code:    fault.ExitRefused,
			Message: fmt.Sprintf("CoreDNS rejected the new Corefile and continues with the previous one: %s", lineWith(log, reloadFailed)),
			Remedy:  "use CoreDNS 1.12.2 or newer, or undo the change with `meshctl dns disable`",
		}
	}
	return false, nil
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

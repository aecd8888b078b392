package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os/exec"
	"slices"
	"strings"

	"github.com/meshway/meshway/agent/admin/adminclient"
	"github.com/meshway/meshway/agent/control/controlpb/controlpbconnect"
)

// The objects of the chart that meshctl looks for.
const (
	chartNamespace = "meshway-system"
	gatewayLabel   = "meshway.io/gateway=true"
	agentSelector  = "app.kubernetes.io/name=meshway,app.kubernetes.io/component=agent"
	agentContainer = "meshd"
)

// cluster is a Kubernetes cluster in which meshd runs, as kubectl knows it. It
// is reached the way an operator would: kubectl exec into a gateway's agent,
// with whatever kubectl needs to sign in.
type cluster struct {
	context   string
	namespace string
	node      string // whose agent is meant; empty: any gateway's
}

// client returns a client of the meshd on one of the cluster's gateways, or on
// the node that was asked for.
func (c cluster) client() controlpbconnect.OperatorClient {
	return adminclient.New(func(ctx context.Context) (net.Conn, error) {
		pod, err := c.agentPod(ctx)
		if err != nil {
			return nil, err
		}
		// The process outlives the context of the dial and ends with the connection.
		return startPipe(c.kubectl(context.WithoutCancel(ctx), "exec", "-i", pod, "-c", agentContainer, "--", "meshctl", dialStdio))
	})
}

func (c cluster) kubectl(ctx context.Context, args ...string) *exec.Cmd {
	return exec.CommandContext(ctx, "kubectl", append([]string{"--context", c.context, "--namespace", c.namespace}, args...)...)
}

func (c cluster) agentPod(ctx context.Context) (string, error) {
	if c.node != "" {
		return c.nodePod(ctx)
	}
	return c.gatewayPod(ctx)
}

// nodePod finds the agent of one node.
func (c cluster) nodePod(ctx context.Context) (string, error) {
	pods, err := c.agents(ctx)
	if err != nil {
		return "", err
	}
	if pod, ok := agentOn([]string{c.node}, pods); ok {
		return pod, nil
	}
	return "", &fault{
		code: exitUnreachable, field: "--node", message: fmt.Sprintf("no agent runs on node %s of cluster %s", c.node, c.context),
		remedy: fmt.Sprintf("see kubectl --context %s -n %s get pods -o wide", c.context, c.namespace),
	}
}

// agents are all agents of the cluster, as agentOn takes them.
func (c cluster) agents(ctx context.Context) ([]string, error) {
	return c.list(ctx, "pods", agentSelector, `{.spec.nodeName}/{.metadata.name}/{.status.conditions[?(@.type=="Ready")].status}`)
}

// gatewayPod finds the agent of the first gateway by name, of those that are
// ready if any is: one of several gateways may be down, or just coming.
func (c cluster) gatewayPod(ctx context.Context) (string, error) {
	gateways, err := c.list(ctx, "nodes", gatewayLabel, "{.metadata.name}")
	if err != nil {
		return "", err
	}
	if len(gateways) == 0 {
		return "", &fault{
			code: exitUnreachable, message: fmt.Sprintf("cluster %s has no gateway", c.context),
			remedy: fmt.Sprintf("kubectl --context %s label node NODE %s", c.context, gatewayLabel),
		}
	}
	pods, err := c.agents(ctx)
	if err != nil {
		return "", err
	}
	slices.Sort(gateways)
	if pod, ok := agentOn(gateways, pods); ok {
		return pod, nil
	}
	return "", &fault{
		code: exitUnreachable, message: fmt.Sprintf("no agent runs on the gateways of cluster %s (%s)", c.context, strings.Join(gateways, ", ")),
		remedy: fmt.Sprintf("install the chart, or see kubectl --context %s -n %s get pods; another namespace: --meshway-namespace", c.context, c.namespace),
	}
}

// agentOn picks of pods, written as node/name/ready, the first on these nodes.
func agentOn(nodes, pods []string) (name string, ok bool) {
	for _, onlyReady := range []bool{true, false} {
		for _, node := range nodes {
			for _, pod := range pods {
				parts := strings.Split(pod, "/")
				if len(parts) == 3 && parts[0] == node && (!onlyReady || parts[2] == "True") {
					return parts[1], true
				}
			}
		}
	}
	return "", false
}

// list returns one word for each object.
func (c cluster) list(ctx context.Context, kind, selector, word string) ([]string, error) {
	cmd := c.kubectl(ctx, "get", kind, "-l", selector, "-o", `jsonpath={range .items[*]}`+word+`{"\n"}{end}`)
	var complaint bytes.Buffer
	cmd.Stderr = &complaint
	out, err := cmd.Output()
	switch {
	case errors.Is(err, exec.ErrNotFound):
		return nil, &fault{code: exitUnreachable, message: "--context needs kubectl, which is not there", remedy: "install kubectl, or run meshctl on the gateway itself"}
	case err != nil:
		return nil, &fault{
			code: exitUnreachable, message: fmt.Sprintf("kubectl get %s in cluster %s: %s", kind, c.context, complaintOf(complaint.String())),
			remedy: "see kubectl config get-contexts",
		}
	}
	return strings.Fields(string(out)), nil
}

// complaintOf is what kubectl says to people: before it come lines of the log of
// its client, one for each attempt.
func complaintOf(stderr string) string {
	var lines []string
	for line := range strings.Lines(stderr) {
		if line = strings.TrimSpace(line); line != "" && !isKlog(line) {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, " ")
}

// isKlog recognises E1123 00:26:46.839447 …
func isKlog(line string) bool {
	return len(line) > 6 && strings.ContainsRune("IWEF", rune(line[0])) && line[5] == ' ' && strings.Trim(line[1:5], "0123456789") == ""
}

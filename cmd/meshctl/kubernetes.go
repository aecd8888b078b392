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

// Names and labels of the objects that the chart creates.
const (
	chartNamespace = "meshway-system"
	gatewayLabel   = "meshway.io/gateway=true"
	agentSelector  = "app.kubernetes.io/name=meshway,app.kubernetes.io/component=agent"
	agentContainer = "meshd"
)

// cluster is a Kubernetes cluster in which meshd runs. meshctl reaches it with
// kubectl exec into the pod of an agent, and so needs no credentials of its own.
type cluster struct {
	context   string // of kubectl
	namespace string
	node      string // whose agent to use; empty: that of any gateway
}

// client returns a client of the meshd on c.node, or on one of the cluster's
// gateways.
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

// nodePod returns the name of the agent's pod on c.node.
func (c cluster) nodePod(ctx context.Context) (string, error) {
	pods, err := c.agents(ctx)
	if err != nil {
		return "", err
	}
	if pod, ok := agentOn([]string{c.node}, pods); ok {
		return pod, nil
	}
	return "", &fault{
		code:    exitUnreachable,
		field:   "--node",
		message: fmt.Sprintf("no agent runs on node %s of cluster %s", c.node, c.context),
		remedy:  fmt.Sprintf("check kubectl --context %s -n %s get pods -o wide", c.context, c.namespace),
	}
}

// agents lists the agents of the cluster as node/pod/ready.
func (c cluster) agents(ctx context.Context) ([]string, error) {
	return c.list(ctx, "pods", agentSelector, `{.spec.nodeName}/{.metadata.name}/{.status.conditions[?(@.type=="Ready")].status}`)
}

// gatewayPod returns the name of the agent's pod on the first gateway by name,
// preferring a pod that is ready.
func (c cluster) gatewayPod(ctx context.Context) (string, error) {
	gateways, err := c.list(ctx, "nodes", gatewayLabel, "{.metadata.name}")
	if err != nil {
		return "", err
	}
	if len(gateways) == 0 {
		return "", &fault{
			code:    exitUnreachable,
			message: fmt.Sprintf("cluster %s has no gateway", c.context),
			remedy:  fmt.Sprintf("run kubectl --context %s label node NODE %s", c.context, gatewayLabel),
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
		code:    exitUnreachable,
		message: fmt.Sprintf("no agent runs on the gateways of cluster %s (%s)", c.context, strings.Join(gateways, ", ")),
		remedy:  fmt.Sprintf("install the chart, check kubectl --context %s -n %s get pods, or name another namespace with --meshway-namespace", c.context, c.namespace),
	}
}

// agentOn returns the name of the first of pods, written as node/name/ready, on
// one of nodes. It prefers pods that are ready.
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

// list returns one word for each object of a kind: the result of template.
func (c cluster) list(ctx context.Context, kind, selector, template string) ([]string, error) {
	cmd := c.kubectl(ctx, "get", kind, "-l", selector, "-o", `jsonpath={range .items[*]}`+template+`{"\n"}{end}`)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	switch {
	case errors.Is(err, exec.ErrNotFound):
		return nil, &fault{
			code:    exitUnreachable,
			message: "--context needs kubectl, which is not installed",
			remedy:  "install kubectl, or run meshctl on the gateway itself",
		}
	case err != nil:
		return nil, &fault{
			code:    exitUnreachable,
			message: fmt.Sprintf("kubectl get %s in cluster %s: %s", kind, c.context, kubectlMessage(stderr.String())),
			remedy:  "check kubectl config get-contexts",
		}
	}
	return strings.Fields(string(out)), nil
}

// kubectlMessage returns the error message in the stderr of kubectl, without the
// log lines that its client prints before it for each attempt.
func kubectlMessage(stderr string) string {
	var lines []string
	for line := range strings.Lines(stderr) {
		if line = strings.TrimSpace(line); line != "" && !isKlog(line) {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, " ")
}

// isKlog reports whether line is a line of klog, such as
// "E1123 00:26:46.839447 …".
func isKlog(line string) bool {
	return len(line) > 6 && strings.ContainsRune("IWEF", rune(line[0])) && line[5] == ' ' && strings.Trim(line[1:5], "0123456789") == ""
}

package kubectl

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
	"github.com/meshway/meshway/cmd/meshctl/internal/fault"
)

// Names and labels of the objects that the chart creates.
const (
	ChartNamespace   = "meshway-system"
	defaultLabel     = "meshway.io/gateway=true"
	labelAnnotation  = `meshway\.io/gateway-label` // of an agent's pod: the label of gateways, for jsonpath
	gatewayComponent = "agent"                     // label app.kubernetes.io/component of the gateways' pods
	agentSelector    = "app.kubernetes.io/name=meshway,app.kubernetes.io/component in (agent,node)"
	agentContainer   = "meshd"
)

// Cluster is a Kubernetes cluster in which meshd runs. meshctl reaches it with
// kubectl exec into the pod of an agent, and so needs no credentials of its own.
type Cluster struct {
	Context   string // of kubectl
	Namespace string
	Node      string // whose agent to use; empty: that of any gateway
}

// Client returns a client of the meshd on c.node, or on one of the cluster's
// gateways.
func (c Cluster) Client() controlpbconnect.OperatorClient {
	return adminclient.New(c.Dial)
}

// Dial connects to the meshd on c.Node, or on one of the cluster's gateways.
func (c Cluster) Dial(ctx context.Context) (net.Conn, error) {
	pod, err := c.agentPod(ctx)
	if err != nil {
		return nil, err
	}
	// The process outlives the context of the dial and ends with the connection.
	return startPipe(c.kubectl(context.WithoutCancel(ctx), "exec", "-i", pod, "-c", agentContainer, "--", "meshctl", DialStdio))
}

func (c Cluster) kubectl(ctx context.Context, args ...string) *exec.Cmd {
	return exec.CommandContext(ctx, "kubectl", append([]string{"--context", c.Context, "--namespace", c.Namespace}, args...)...)
}

func (c Cluster) agentPod(ctx context.Context) (string, error) {
	if c.Node != "" {
		return c.nodePod(ctx)
	}
	return c.gatewayPod(ctx)
}

// nodePod returns the name of the agent's pod on c.node.
func (c Cluster) nodePod(ctx context.Context) (string, error) {
	pods, err := c.agents(ctx)
	if err != nil {
		return "", err
	}
	if pod, ok := agentOn([]string{c.Node}, pods); ok {
		return pod, nil
	}
	return "", &fault.Fault{
		Code:    fault.ExitUnreachable,
		Field:   "--node",
		Message: fmt.Sprintf("no agent runs on node %s of cluster %s", c.Node, c.Context),
		Remedy:  fmt.Sprintf("check kubectl --context %s -n %s get pods -o wide", c.Context, c.Namespace),
	}
}

// agent is the pod of an agent.
type agent struct {
	node, pod    string
	gateway      bool   // of the DaemonSet of the gateways
	ready        bool   // and not being deleted
	gatewayLabel string // empty: the chart is older than the annotation
}

// agents lists the agents of the cluster.
func (c Cluster) agents(ctx context.Context) ([]agent, error) {
	lines, err := c.list(ctx, "pods", agentSelector,
		`{.spec.nodeName}/{.metadata.name}/{.metadata.labels.app\.kubernetes\.io/component}/{.status.conditions[?(@.type=="Ready")].status}/`+
			`{.metadata.deletionTimestamp}/{.metadata.annotations.`+labelAnnotation+`}`)
	var agents []agent
	for _, line := range lines {
		if parts := strings.SplitN(line, "/", 6); len(parts) == 6 { // a label may contain a slash
			agents = append(agents, agent{
				node: parts[0], pod: parts[1], gateway: parts[2] == gatewayComponent,
				ready: parts[3] == "True" && parts[4] == "", gatewayLabel: parts[5],
			})
		}
	}
	return agents, err
}

// gatewayLabelOf returns the label of gateways, which a value of the chart sets.
func gatewayLabelOf(agents []agent) string {
	for _, a := range agents {
		if a.gatewayLabel != "" {
			return a.gatewayLabel
		}
	}
	return defaultLabel
}

// Gateways returns the names of the nodes that are gateways, sorted.
func (c Cluster) Gateways(ctx context.Context) ([]string, error) {
	pods, err := c.agents(ctx)
	if err != nil {
		return nil, err
	}
	return c.gateways(ctx, gatewayLabelOf(pods))
}

func (c Cluster) gateways(ctx context.Context, label string) ([]string, error) {
	names, err := c.list(ctx, "nodes", label, "{.metadata.name}")
	if err != nil {
		return nil, err
	}
	if len(names) == 0 {
		return nil, &fault.Fault{
			Code:    fault.ExitUnreachable,
			Message: fmt.Sprintf("cluster %s has no gateway", c.Context),
			Remedy:  fmt.Sprintf("run kubectl --context %s label node NODE %s", c.Context, label),
		}
	}
	slices.Sort(names)
	return names, nil
}

// gatewayPod returns the name of the agent's pod on the first gateway by name,
// preferring a pod that is ready.
func (c Cluster) gatewayPod(ctx context.Context) (string, error) {
	pods, err := c.agents(ctx)
	if err != nil {
		return "", err
	}
	gateways, err := c.gateways(ctx, gatewayLabelOf(pods))
	if err != nil {
		return "", err
	}
	// A node that becomes a gateway has the pod of other nodes for a moment, which has
	// no rights on the identity of the datacenter.
	pods = slices.DeleteFunc(pods, func(a agent) bool { return !a.gateway })
	if pod, ok := agentOn(gateways, pods); ok {
		return pod, nil
	}
	return "", &fault.Fault{
		Code:    fault.ExitUnreachable,
		Message: fmt.Sprintf("no agent runs on the gateways of cluster %s (%s)", c.Context, strings.Join(gateways, ", ")),
		Remedy:  fmt.Sprintf("install the chart, check kubectl --context %s -n %s get pods, or name another namespace with --meshway-namespace", c.Context, c.Namespace),
	}
}

// agentOn returns the name of the first of pods on one of nodes. It prefers pods that
// are ready.
func agentOn(nodes []string, pods []agent) (name string, ok bool) {
	for _, onlyReady := range []bool{true, false} {
		for _, node := range nodes {
			for _, pod := range pods {
				if pod.node == node && (!onlyReady || pod.ready) {
					return pod.pod, true
				}
			}
		}
	}
	return "", false
}

// list returns one word for each object of a kind: the result of template.
func (c Cluster) list(ctx context.Context, kind, selector, template string) ([]string, error) {
	cmd := c.kubectl(ctx, "get", kind, "-l", selector, "-o", `jsonpath={range .items[*]}`+template+`{"\n"}{end}`)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	switch {
	case errors.Is(err, exec.ErrNotFound):
		return nil, &fault.Fault{
			Code:    fault.ExitUnreachable,
			Message: "--context needs kubectl, which is not installed",
			Remedy:  "install kubectl, or run meshctl on the gateway itself",
		}
	case err != nil:
		return nil, &fault.Fault{
			Code:    fault.ExitUnreachable,
			Message: fmt.Sprintf("kubectl get %s in cluster %s: %s", kind, c.Context, kubectlMessage(stderr.String())),
			Remedy:  otherContext(c),
		}
	}
	return strings.Fields(string(out)), nil
}

// otherContext is the remedy of a call that failed because of the context or of the rights
// that it gives.
func otherContext(c Cluster) string {
	return fmt.Sprintf("check that kubectl --context %s -n %s get pods succeeds, or name another context of kubectl config get-contexts with --context",
		c.Context, c.Namespace)
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

// Run runs kubectl with in as its input and returns its output.
func Run(ctx context.Context, c Cluster, in string, args ...string) (string, error) {
	cmd := c.kubectl(ctx, args...)
	var stderr bytes.Buffer
	cmd.Stdin, cmd.Stderr = strings.NewReader(in), &stderr
	out, err := cmd.Output()
	switch {
	case interrupted(ctx, err) != nil:
		return "", fmt.Errorf("kubectl %s: %w", args[0], interrupted(ctx, err))
	case errors.Is(err, exec.ErrNotFound):
		return "", &fault.Fault{
			Code:    fault.ExitUnreachable,
			Message: "the command needs kubectl, which is not installed",
			Remedy:  "install kubectl",
		}
	case err != nil:
		return "", &fault.Fault{
			Code:    fault.ExitUnreachable,
			Message: fmt.Sprintf("kubectl %s: %s", args[0], kubectlMessage(stderr.String())),
			Remedy:  otherContext(c),
		}
	}
	return string(out), nil
}

//go:build linux

package cluster

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// startControlPlane starts the control plane on the first node, and then the
// nodes' kubelets.
func (c *Cluster) startControlPlane(ctx context.Context) error {
	first := c.nodes[0]
	if err := c.writeCertificates(); err != nil {
		return err
	}
	if err := first.run("etcd", etcdArgs()...); err != nil {
		return err
	}
	if err := first.run("kube-apiserver", c.apiServerArgs()...); err != nil {
		return err
	}
	if err := c.AwaitAPI(ctx); err != nil {
		return err
	}
	c.logProgress("the API server answers")
	if err := c.createNodes(ctx); err != nil {
		return err
	}
	err := errors.Join(
		first.writeKubeconfig("admin", c.certificates.admin),
		first.run("kube-controller-manager", c.controllerManagerArgs()...),
		first.run("kube-scheduler", "--kubeconfig", kubeconfigOf("admin"), "--leader-elect=false", "--bind-address=127.0.0.1"),
	)
	for _, n := range c.nodes {
		err = errors.Join(err, n.startKubelet())
	}
	return err
}

// apiTimeout bounds one check of the API server: it may accept a connection long
// before it answers, and a new one is then faster.
const apiTimeout = 5 * time.Second

// AwaitAPI waits until the API server is ready, for example after Node.Start.
func (c *Cluster) AwaitAPI(ctx context.Context) error {
	return c.await(ctx, "the API server is ready", func(ctx context.Context) error {
		ctx, cancel := context.WithTimeoutCause(ctx, apiTimeout, fmt.Errorf("no answer within %s", apiTimeout))
		defer cancel()
		_, err := c.client.Discovery().RESTClient().Get().AbsPath("/readyz").DoRaw(ctx)
		return err
	})
}

func (c *Cluster) writeCertificates() error {
	var errs []error
	for name, content := range map[string][]byte{
		"ca.crt":        c.certificates.ca,
		"apiserver.crt": c.certificates.server, "apiserver.key": c.certificates.serverKey,
		"admin.crt": c.certificates.admin.certificate, "admin.key": c.certificates.admin.key,
		"accounts.pub": c.certificates.accountPublic, "accounts.key": c.certificates.accountKey,
	} {
		errs = append(errs, c.nodes[0].host.WriteFile(configDir+"/"+name, content, 0o600))
	}
	return errors.Join(errs...)
}

// etcdArgs returns the arguments of etcd, which listens on loopback addresses
// and does not sync its files, since its data is not needed after a crash.
func etcdArgs() []string {
	return []string{
		"--data-dir", "/var/lib/etcd", "--unsafe-no-fsync", "--log-level", "warn",
		"--listen-client-urls", "http://127.0.0.1:2379", "--advertise-client-urls", "http://127.0.0.1:2379",
		"--listen-peer-urls", "http://127.0.0.1:2380", "--initial-advertise-peer-urls", "http://127.0.0.1:2380",
		"--initial-cluster", "default=http://127.0.0.1:2380",
	}
}

func (c *Cluster) apiServerArgs() []string {
	address := c.nodes[0].Addresses[0].String()
	return []string{
		"--etcd-servers", "http://127.0.0.1:2379",
		"--bind-address", address, "--advertise-address", address, "--secure-port", fmt.Sprint(apiPort),
		"--client-ca-file", caFile,
		"--tls-cert-file", configDir + "/apiserver.crt", "--tls-private-key-file", configDir + "/apiserver.key",
		"--kubelet-client-certificate", configDir + "/admin.crt", "--kubelet-client-key", configDir + "/admin.key",
		"--kubelet-preferred-address-types", "InternalIP",
		"--service-account-issuer", "https://kubernetes.default.svc.cluster.local",
		"--service-account-key-file", configDir + "/accounts.pub", "--service-account-signing-key-file", configDir + "/accounts.key",
		"--service-cluster-ip-range", join(c.options.ServiceCIDRs),
		// As installers configure it: a kubelet may change only its own Node, and read only
		// what the pods on it refer to.
		"--authorization-mode", "Node,RBAC", "--enable-admission-plugins", "NodeRestriction", "--allow-privileged",
	}
}

func (c *Cluster) controllerManagerArgs() []string {
	args := []string{
		"--kubeconfig", kubeconfigOf("admin"), "--leader-elect=false", "--bind-address", "127.0.0.1",
		"--service-account-private-key-file", configDir + "/accounts.key", "--root-ca-file", caFile,
		"--service-cluster-ip-range", join(c.options.ServiceCIDRs),
	}
	if c.options.OwnIPAM {
		return args
	}
	return append(args, "--allocate-node-cidrs", "--cluster-cidr", join(c.options.PodCIDRs))
}

// createNodes creates the Node objects before the kubelets do, with the pod
// CIDRs of the nodes' networks, unless Options.OwnIPAM is set. Networks can thus
// be set up before the controller manager runs.
func (c *Cluster) createNodes(ctx context.Context) error {
	for _, n := range c.nodes {
		node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: n.Name}}
		if !c.options.OwnIPAM {
			for _, pods := range n.PodCIDRs {
				node.Spec.PodCIDRs = append(node.Spec.PodCIDRs, pods.String())
			}
			node.Spec.PodCIDR = node.Spec.PodCIDRs[0]
		}
		if _, err := c.client.CoreV1().Nodes().Create(ctx, node, metav1.CreateOptions{}); err != nil {
			return fmt.Errorf("create node %s: %w", n.Name, err)
		}
	}
	return nil
}

// awaitReady waits until all nodes and the DNS are ready.
func (c *Cluster) awaitReady(ctx context.Context) error {
	if err := c.await(ctx, "all nodes are ready", c.nodesReady); err != nil {
		return err
	}
	c.logProgress("all nodes are ready")
	err := c.await(ctx, "DNS answers", func(ctx context.Context) error {
		deployment, err := c.client.AppsV1().Deployments("kube-system").Get(ctx, "coredns", metav1.GetOptions{})
		if err == nil && deployment.Status.ReadyReplicas == 0 {
			err = errors.New("no replica of CoreDNS is ready")
		}
		return err
	})
	if err != nil {
		return err
	}
	c.logProgress("DNS is ready")
	return nil
}

func (c *Cluster) nodesReady(ctx context.Context) error {
	nodes, err := c.client.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	var waiting []string
	for _, node := range nodes.Items {
		if condition := readyCondition(node); condition.Status != corev1.ConditionTrue {
			waiting = append(waiting, node.Name+": "+condition.Message)
		}
	}
	if len(waiting) > 0 {
		return errors.New(strings.Join(waiting, "; "))
	}
	return nil
}

func readyCondition(node corev1.Node) corev1.NodeCondition {
	for _, condition := range node.Status.Conditions {
		if condition.Type == corev1.NodeReady {
			return condition
		}
	}
	return corev1.NodeCondition{Message: "kubelet has not registered"}
}

//go:build linux

package cluster

import (
	"errors"
	"fmt"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// Programs of each node that have credentials of the API server.
const (
	Kubelet   = "kubelet"
	KubeProxy = "kube-proxy"
)

// writeCredentials writes the kubeconfigs of the programs of the node, which have no
// other rights than with an installer.
func (n *Node) writeCredentials() error {
	ca := n.cluster.certificates.authority
	kubelet, err := ca.client("system:node:"+n.Name, "system:nodes")
	if err != nil {
		return err
	}
	proxy, err := ca.client("system:kube-proxy")
	if err != nil {
		return err
	}
	return errors.Join(n.writeKubeconfig(Kubelet, kubelet), n.writeKubeconfig(KubeProxy, proxy))
}

// REST returns a configuration of client-go with the credentials of Kubelet or KubeProxy,
// which it reads from the node. Connections are made from the node.
func (n *Node) REST(program string) (*rest.Config, error) {
	text, err := n.host.ReadFile(kubeconfigOf(program))
	if err != nil {
		return nil, err
	}
	config, err := clientcmd.RESTConfigFromKubeConfig(text)
	if err != nil {
		return nil, fmt.Errorf("read kubeconfig of %s on %s: %w", program, n.Name, err)
	}
	config.Dial, config.QPS = n.host.DialContext, -1
	return config, nil
}

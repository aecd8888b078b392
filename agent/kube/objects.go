package kube

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// nodeOf takes of a Node what is needed. label is key=value.
func nodeOf(n *corev1.Node, label string) Node {
	node := Node{Name: n.Name, PodCIDRs: prefixesOf(n.Spec.PodCIDRs)}
	if len(n.Spec.PodCIDRs) == 0 {
		node.PodCIDRs = prefixesOf([]string{n.Spec.PodCIDR})
	}
	for _, a := range n.Status.Addresses {
		addr, err := netip.ParseAddr(a.Address)
		switch {
		case err != nil: // a name
		case a.Type == corev1.NodeInternalIP:
			node.Addresses = append(node.Addresses, addr.Unmap())
		case a.Type == corev1.NodeExternalIP:
			node.External = append(node.External, addr.Unmap())
		}
	}
	slices.SortFunc(node.Addresses, netip.Addr.Compare)
	slices.SortFunc(node.External, netip.Addr.Compare)
	key, value, _ := strings.Cut(label, "=")
	have, ok := n.Labels[key]
	node.Gateway = ok && have == value
	return node
}

// slimNode drops what nobody reads: images and the like are most of a Node.
func slimNode(object any) (any, error) {
	n, ok := object.(*corev1.Node)
	if !ok {
		return object, nil
	}
	return &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{
			Name: n.Name, UID: n.UID, ResourceVersion: n.ResourceVersion, Labels: n.Labels,
		},
		Spec:   corev1.NodeSpec{PodCIDR: n.Spec.PodCIDR, PodCIDRs: n.Spec.PodCIDRs},
		Status: corev1.NodeStatus{Addresses: n.Status.Addresses},
	}, nil
}

// serviceCIDRsOf leaves out those that are going away.
func serviceCIDRsOf(list []*networkingv1.ServiceCIDR) []netip.Prefix {
	var out []netip.Prefix
	for _, c := range list {
		if c.DeletionTimestamp == nil {
			out = append(out, prefixesOf(c.Spec.CIDRs)...)
		}
	}
	return out
}

// kubeadmOf reads the ranges from kubeadm's ConfigMap; none if it is not what
// it used to be.
func kubeadmOf(m *corev1.ConfigMap) ranges {
	var document struct {
		Networking struct {
			PodSubnet     string `yaml:"podSubnet"`
			ServiceSubnet string `yaml:"serviceSubnet"`
		} `yaml:"networking"`
	}
	if err := yaml.Unmarshal([]byte(m.Data["ClusterConfiguration"]), &document); err != nil {
		return ranges{}
	}
	return ranges{
		pods:     prefixesOf(strings.Split(document.Networking.PodSubnet, ",")),
		services: prefixesOf(strings.Split(document.Networking.ServiceSubnet, ",")),
	}
}

func prefixesOf(texts []string) []netip.Prefix {
	var out []netip.Prefix
	for _, text := range texts {
		if p, err := netip.ParsePrefix(strings.TrimSpace(text)); err == nil {
			out = append(out, p.Masked())
		}
	}
	return out
}

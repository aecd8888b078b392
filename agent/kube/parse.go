package kube

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/meshway/meshway/agent/plan"
)

// nodeOf converts a Node. label is that of gateways, as key=value.
func nodeOf(n *corev1.Node, label string) Node {
	node := Node{Name: n.Name, PodCIDRs: podCIDRsOf(n)}
	for _, a := range n.Status.Addresses {
		addr, err := netip.ParseAddr(a.Address)
		switch {
		case err != nil: // a host name
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

// podCIDRsOf returns the ranges that Kubernetes assigned to a node.
func podCIDRsOf(n *corev1.Node) []netip.Prefix {
	if len(n.Spec.PodCIDRs) == 0 {
		return prefixesOf([]string{n.Spec.PodCIDR})
	}
	return prefixesOf(n.Spec.PodCIDRs)
}

// annotatedPods returns the ranges of plan.PodCIDRsAnnotation. If one of them is not
// valid it returns none and an error.
func annotatedPods(n *corev1.Node) ([]netip.Prefix, error) {
	text, ok := n.Annotations[plan.PodCIDRsAnnotation]
	if !ok {
		return nil, nil
	}
	var list []netip.Prefix
	for _, word := range strings.Split(text, ",") {
		p, err := netip.ParsePrefix(strings.TrimSpace(word))
		if err != nil {
			return nil, fmt.Errorf("annotation %s of node %s: %w", plan.PodCIDRsAnnotation, n.Name, err)
		}
		list = append(list, p.Masked())
	}
	return list, nil
}

// slimNode removes what is not used from a Node: most of it, such as the images.
func slimNode(object any) (any, error) {
	n, ok := object.(*corev1.Node)
	if !ok {
		return object, nil
	}
	slim := &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{
			Name: n.Name, UID: n.UID, ResourceVersion: n.ResourceVersion, Labels: n.Labels,
		},
		Spec:   corev1.NodeSpec{PodCIDR: n.Spec.PodCIDR, PodCIDRs: n.Spec.PodCIDRs},
		Status: corev1.NodeStatus{Addresses: n.Status.Addresses},
	}
	if text, ok := n.Annotations[plan.PodCIDRsAnnotation]; ok {
		slim.Annotations = map[string]string{plan.PodCIDRsAnnotation: text}
	}
	return slim, nil
}

// serviceCIDRsOf returns the ranges of the ServiceCIDRs that are not being deleted.
func serviceCIDRsOf(list []*networkingv1.ServiceCIDR) []netip.Prefix {
	var out []netip.Prefix
	for _, c := range list {
		if c.DeletionTimestamp == nil {
			out = append(out, prefixesOf(c.Spec.CIDRs)...)
		}
	}
	return out
}

// kubeadmOf returns the ranges in kubeadm's ConfigMap, or none if it has another
// format.
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

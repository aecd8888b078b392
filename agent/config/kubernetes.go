package config

import (
	"net/netip"
	"regexp"
	"slices"
	"strings"

	"github.com/meshway/meshway/consensus/catalog"
)

// DefaultGatewayLabel is the label of the nodes that are gateways.
const DefaultGatewayLabel = "meshway.io/gateway=true"

// GatewayOfNode returns the name of the gateway on a node: a DNS label derived from
// the name of the node, which may contain dots.
func GatewayOfNode(node string) string { return strings.ReplaceAll(strings.ToLower(node), ".", "-") }

// kubernetes validates its keys even if Kubernetes is disabled, so that enabling it
// reveals no further errors; only the name of the node depends on it.
func (v validator) kubernetes(raw rawKubernetes) Kubernetes {
	k := Kubernetes{
		Enabled:       raw.Enabled.on(),
		PodCIDRs:      v.cidrs("kubernetes.podCIDRs", raw.PodCIDRs, catalog.PodPrefix),
		ServiceCIDRs:  v.cidrs("kubernetes.serviceCIDRs", raw.ServiceCIDRs, catalog.ServicePrefix),
		AnnounceNodes: raw.AnnounceNodes.on(),
		GatewayLabel:  v.label("kubernetes.gatewayLabel", raw.GatewayLabel.or(DefaultGatewayLabel)),
	}
	for _, t := range raw.ServiceCIDRs {
		if cidr, err := netip.ParsePrefix(t.value); err == nil && slices.Contains(k.ServiceCIDRs, cidr) {
			v.apart("kubernetes.serviceCIDRs", *t, cidr, "kubernetes.podCIDRs", k.PodCIDRs)
		}
	}
	if file := raw.Kubeconfig.or(""); file.value != "" {
		k.Kubeconfig = v.path("kubernetes.kubeconfig", file)
	}
	if name := raw.IdentitySecret.or(""); name.value != "" {
		k.IdentitySecret = v.subdomain("kubernetes.identitySecret", name, "not a name of a Secret; use a name such as meshway-identity")
	}
	if k.Enabled {
		k.NodeName = v.nodeName("kubernetes.nodeName", raw.NodeName.or(strings.ToLower(v.hostname)))
	}
	return k
}

// cidrs validates a list of prefixes that must not overlap, and sorts it.
func (v validator) cidrs(key string, list []*text, kind catalog.PrefixKind) []netip.Prefix {
	var out []netip.Prefix
	for _, t := range list {
		cidr, ok := v.announced(key, *t, kind)
		if !ok {
			continue
		}
		if slices.ContainsFunc(out, cidr.Overlaps) {
			v.faults.add(t.at, "%s: %v overlaps another prefix of the list; list each range once", key, cidr)
			continue
		}
		out = append(out, cidr)
	}
	slices.SortFunc(out, netip.Prefix.Compare)
	return out
}

// nodeName validates a DNS subdomain.
func (v validator) nodeName(key string, t text) string {
	return v.subdomain(key, t, "not a name of a node; check kubectl get nodes, or use --node-name NAME")
}

// subdomain validates a DNS subdomain: DNS labels separated by dots (RFC 1123).
func (v validator) subdomain(key string, t text, message string) string {
	for label := range strings.SplitSeq(t.value, ".") {
		if catalog.ValidateName(label) != nil {
			v.faults.add(t.at, "%s: %q is %s", key, t.value, message)
			break
		}
	}
	return t.value
}

// label validates a label written as key=value. The syntax of both is in the
// documentation of Kubernetes, "Labels and Selectors".
func (v validator) label(key string, t text) string {
	name := `[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?`
	domain := `[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*`
	pattern := regexp.MustCompile(`^(` + domain + `/)?` + name + `=(` + name + `)?$`)
	if !pattern.MatchString(t.value) {
		v.faults.add(t.at, "%s: %q is not a label; write key=value, such as %s", key, t.value, DefaultGatewayLabel)
	}
	return t.value
}

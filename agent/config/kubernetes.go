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

// GatewayOfNode is the name of the gateway on a node: a DNS label, made of the
// node's name, which may have dots.
func GatewayOfNode(node string) string { return strings.ReplaceAll(strings.ToLower(node), ".", "-") }

// kubernetes checks all keys also when it is off, so that switching it on
// brings no surprise.
func (v validator) kubernetes(raw rawKubernetes) Kubernetes {
	k := Kubernetes{
		Enabled:       raw.Enabled.on(),
		PodCIDRs:      v.cidrs("kubernetes.podCIDRs", raw.PodCIDRs, catalog.PodPrefix),
		ServiceCIDRs:  v.cidrs("kubernetes.serviceCIDRs", raw.ServiceCIDRs, catalog.ServicePrefix),
		AnnounceNodes: raw.AnnounceNodes.on(),
		GatewayLabel:  v.label("kubernetes.gatewayLabel", raw.GatewayLabel.or(DefaultGatewayLabel)),
	}
	if file := raw.Kubeconfig.or(""); file.value != "" {
		k.Kubeconfig = v.path("kubernetes.kubeconfig", file)
	}
	if name := raw.IdentitySecret.or(""); name.value != "" {
		k.IdentitySecret = v.subdomain("kubernetes.identitySecret", name, "no name of a Secret; give that of the chart's, such as meshway-identity")
	}
	if k.Enabled {
		k.NodeName = v.nodeName("kubernetes.nodeName", raw.NodeName.or(strings.ToLower(v.hostname)))
	}
	return k
}

func (v validator) cidrs(key string, list []*text, kind catalog.PrefixKind) []netip.Prefix {
	var out []netip.Prefix
	for _, t := range list {
		cidr, err := netip.ParsePrefix(t.value)
		if err != nil {
			v.faults.add(t.at, "%s: %q is no prefix; write address/length, such as 10.1.0.0/16", key, t.value)
			continue
		}
		if err := catalog.ValidatePrefixes([]catalog.Prefix{{CIDR: cidr, Kind: kind}}); err != nil {
			v.faults.add(t.at, "%s: %s", key, refusal(err))
			continue
		}
		if slices.ContainsFunc(out, cidr.Overlaps) {
			v.faults.add(t.at, "%s: %v overlaps another of the list; list each range once", key, cidr)
			continue
		}
		out = append(out, cidr)
	}
	slices.SortFunc(out, netip.Prefix.Compare)
	return out
}

// nodeName is a DNS subdomain.
func (v validator) nodeName(key string, t text) string {
	return v.subdomain(key, t, "no name of a node; see kubectl get nodes, or give --node-name NAME")
}

// subdomain wants DNS labels with dots between (RFC 1123).
func (v validator) subdomain(key string, t text, complaint string) string {
	for label := range strings.SplitSeq(t.value, ".") {
		if catalog.ValidateName(label) != nil {
			v.faults.add(t.at, "%s: %q is %s", key, t.value, complaint)
			break
		}
	}
	return t.value
}

// label wants key=value (the syntax of labels is in the concepts of Kubernetes,
// "Labels and Selectors").
func (v validator) label(key string, t text) string {
	name := `[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?`
	domain := `[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*`
	pattern := regexp.MustCompile(`^(` + domain + `/)?` + name + `=(` + name + `)?$`)
	if !pattern.MatchString(t.value) {
		v.faults.add(t.at, "%s: %q is no label; write key=value, such as %s", key, t.value, DefaultGatewayLabel)
	}
	return t.value
}

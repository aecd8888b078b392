package inventory

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/consensus/catalog"
)

// View is the federation as one gateway of this cluster observes it.
type View struct {
	plan.Reachability
	Addresses map[string][]netip.Addr // of the nodes, by name of gateway
	Tunnel    *NodeTunnel             // of this gateway
	Silent    []string                // siblings that have stopped answering since the last write
}

// siblings returns the gateways of this cluster, including this one.
func (v View) siblings() []plan.GatewayReachability {
	i := slices.IndexFunc(v.Datacenters, func(dc plan.DatacenterReachability) bool { return dc.Self })
	if i < 0 {
		return nil
	}
	return v.Datacenters[i].Gateways
}

// merge returns the status of a datacenter with the view of one gateway in it. The
// gateway replaces only its own entry of Through. All that depends on several
// entries is recomputed, and the rest is the same for all gateways, so the result
// does not depend on which gateway writes last.
func merge(have Status, v View, dc plan.DatacenterReachability, generation int64, now time.Time) Status {
	s := Status{
		Self: dc.Self, Ordinal: int64(dc.Ordinal), Federation: v.Federation.Name, Overlay: v.Federation.Overlay.String(),
		Through:    through(have.Through, v, dc),
		Conditions: slices.Clone(have.Conditions),
	}
	for _, p := range dc.Prefixes {
		s.Prefixes = append(s.Prefixes, Prefix{CIDR: p.CIDR.String(), Kind: string(p.Kind)})
	}
	for _, g := range dc.Gateways {
		s.Gateways = append(s.Gateways, s.gateway(v, g))
	}
	s.summarize()
	if dc.Witness() {
		s.Summary.Prefixes = witnessPrefixes
	}
	s.setConditions(v, dc, generation, now)
	return s
}

// through replaces the own entry, and drops those of gateways that were removed or
// have stopped answering: they reach no gateway until they write again.
func through(have []Through, v View, dc plan.DatacenterReachability) []Through {
	own := Through{Gateway: v.Self.Name()}
	var before []Peer
	siblings := v.siblings()
	var out []Through
	for _, t := range have {
		switch {
		case t.Gateway == v.Self.Name():
			before = t.Peers
		case !dc.Self && slices.Contains(v.Silent, t.Gateway):
		case slices.ContainsFunc(siblings, func(g plan.GatewayReachability) bool { return g.Name == t.Gateway }):
			out = append(out, t)
		}
	}
	if dc.Self {
		own.Tunnel = v.Tunnel
	}
	// Nodes use the reachable peers. The last active gateway stays in use because
	// there is no other path.
	divert := v.Draining && slices.ContainsFunc(siblings, func(g plan.GatewayReachability) bool { return g.Name != v.Self.Name() && !g.Draining })
	for _, g := range dc.Gateways {
		if dc.Self {
			break
		}
		p := Peer{Name: g.Name, Reachable: (g.Session.Up || g.Draining) && !divert}
		if g.Session.Up {
			i := slices.IndexFunc(before, func(b Peer) bool { return b.Name == g.Name })
			p.RTT = formatRTT(g.Session.RTT)
			if i >= 0 && sameRTT(before[i].RTT, g.Session.RTT) {
				p.RTT = before[i].RTT
			}
		}
		own.Peers = append(own.Peers, p)
	}
	out = append(out, own)
	slices.SortFunc(out, func(a, b Through) int { return cmp.Compare(a.Gateway, b.Gateway) })
	return out
}

// sameRTT reports whether a measured round-trip time is too close to the written one
// to be worth a write.
func sameRTT(written string, measured time.Duration) bool {
	before, err := time.ParseDuration(written)
	return err == nil && measured > 0 && (before-measured).Abs() <= max(2*time.Millisecond, before/4)
}

// formatRTT rounds a round-trip time to about two digits. It returns "" for zero:
// not measured.
func formatRTT(d time.Duration) string {
	switch {
	case d <= 0:
		return ""
	case d < time.Millisecond:
		return d.Round(10 * time.Microsecond).String()
	case d < 10*time.Millisecond:
		return d.Round(100 * time.Microsecond).String()
	}
	return d.Round(time.Millisecond).String()
}

// gateway combines a gateway of the catalog with the observations of all gateways
// of this cluster.
func (s *Status) gateway(v View, g plan.GatewayReachability) Gateway {
	out := Gateway{Name: g.Name, Index: int64(g.Index), Overlay: overlay(g.Overlay), Version: g.Version}
	if len(g.Endpoints) > 0 {
		out.Endpoint = g.Endpoints[0]
	}
	if s.Self {
		for _, a := range v.Addresses[g.Name] {
			out.NodeIPs = append(out.NodeIPs, a.String())
		}
		out.Reachable = slices.ContainsFunc(s.Through, func(t Through) bool { return t.Gateway == g.Name })
	}
	for _, t := range s.Through {
		for _, p := range t.Peers {
			if p.Name == g.Name && p.Reachable {
				out.Reachable = true
				out.RTT = minRTT(out.RTT, p.RTT)
			}
		}
	}
	return out
}

// overlay formats an address; it returns "" if there is none yet.
func overlay(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	return a.String()
}

// minRTT returns the lower of two formatted round-trip times; an invalid one does
// not count.
func minRTT(a, b string) string {
	left, errLeft := time.ParseDuration(a)
	right, errRight := time.ParseDuration(b)
	if errLeft != nil || errRight == nil && right < left {
		return b
	}
	return a
}

func (s *Status) summarize() {
	var cidrs []string
	for _, p := range s.Prefixes {
		cidrs = append(cidrs, p.CIDR)
	}
	up := 0
	for _, g := range s.Gateways {
		if g.Reachable {
			up++
			s.Summary.RTT = minRTT(s.Summary.RTT, g.RTT)
		}
	}
	s.Summary.Prefixes = summarizePrefixes(cidrs)
	s.Summary.Gateways = fmt.Sprintf("%d/%d", up, len(s.Gateways))
}

// witnessPrefixes is in the column of a datacenter that only votes.
const witnessPrefixes = "(witness)"

// maxPrefixesText is the length of the column with which kubectl get datacenters fits
// 80 columns.
const maxPrefixesText = 30

// summarizePrefixes joins the first prefixes and counts those that do not fit.
func summarizePrefixes(cidrs []string) string {
	text := strings.Join(cidrs, ",")
	for n := len(cidrs) - 1; n > 0 && len(text) > maxPrefixesText; n-- {
		text = fmt.Sprintf("%s +%d", strings.Join(cidrs[:n], ","), len(cidrs)-n)
	}
	return text
}

// setConditions sets the conditions. The transition time of a condition changes only
// with its status.
func (s *Status) setConditions(v View, dc plan.DatacenterReachability, generation int64, now time.Time) {
	reachable := metav1.Condition{
		Type: ConditionReachable, Status: metav1.ConditionFalse, Reason: ReasonNoTunnel,
		Message: fmt.Sprintf("no gateway of datacenter %s answers through a tunnel", dc.Name),
	}
	up := slices.ContainsFunc(s.Gateways, func(g Gateway) bool { return g.Reachable })
	switch {
	case dc.Self:
		reachable.Status, reachable.Reason, reachable.Message = metav1.ConditionTrue, ReasonSelf, fmt.Sprintf("datacenter %s is this cluster", dc.Name)
	case len(s.Gateways) == 0:
		reachable.Reason, reachable.Message = ReasonNoGateway, fmt.Sprintf("datacenter %s has no gateway", dc.Name)
	case up:
		reachable.Status, reachable.Reason = metav1.ConditionTrue, ReasonTunnelUp
		reachable.Message = fmt.Sprintf("at least one gateway of datacenter %s answers through a tunnel", dc.Name)
	}
	ready := metav1.Condition{
		Type: ConditionReady, Status: metav1.ConditionTrue, Reason: ReasonRouted,
		Message: fmt.Sprintf("all prefixes of datacenter %s are routed", dc.Name),
	}
	if dc.Witness() {
		ready.Reason, ready.Message = ReasonWitness, fmt.Sprintf("datacenter %s is a witness: it votes, and has no prefixes", dc.Name)
	}
	if problem := prefixProblems(v.Problems, string(dc.Name)); problem != "" {
		ready.Status, ready.Reason, ready.Message = metav1.ConditionFalse, ReasonPrefixesRefused, problem
	}
	if reachable.Status != metav1.ConditionTrue {
		ready.Status, ready.Reason, ready.Message = metav1.ConditionFalse, ReasonNotReachable, reachable.Message
	}
	for _, c := range []metav1.Condition{reachable, ready} {
		c.ObservedGeneration, c.LastTransitionTime = generation, metav1.NewTime(now.UTC().Truncate(time.Second))
		meta.SetStatusCondition(&s.Conditions, c)
	}
}

// setLeft sets the conditions after the own datacenter has left the federation.
func (s *Status) setLeft(generation int64, now time.Time) {
	for _, kind := range []string{ConditionReachable, ConditionReady} {
		meta.SetStatusCondition(&s.Conditions, metav1.Condition{
			Type: kind, Status: metav1.ConditionFalse, Reason: ReasonDeparted,
			Message: fmt.Sprintf("this cluster has left federation %s, and drops packets to its datacenters until meshctl leave --release", s.Federation),

			ObservedGeneration: generation, LastTransitionTime: metav1.NewTime(now.UTC().Truncate(time.Second)),
		})
	}
}

// prefixProblems returns the messages of the problems for which prefixes of a
// datacenter are not routed.
func prefixProblems(problems []plan.Problem, name string) string {
	var messages []string
	for _, p := range problems {
		if p.Subject == plan.DatacenterSubject(catalog.DatacenterName(name)) && strings.HasPrefix(p.Code, "prefix-") {
			messages = append(messages, p.Message)
		}
	}
	return strings.Join(messages, "; ")
}

// withoutGateway removes the entry of a gateway from Through. It returns false if
// there was none.
func withoutGateway(s Status, gateway string) (Status, bool) {
	i := slices.IndexFunc(s.Through, func(t Through) bool { return t.Gateway == gateway })
	if i < 0 {
		return s, false
	}
	s.Through = slices.Delete(slices.Clone(s.Through), i, i+1)
	return s, true
}

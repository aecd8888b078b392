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
	"github.com/meshway/meshway/agent/status"
)

// View is what one gateway knows of the federation.
type View struct {
	Self        string // the gateway's name
	Federation  status.Federation
	Datacenters []status.Datacenter
	Problems    []plan.Problem
	Draining    bool                    // this gateway is not to be sent to
	Addresses   map[string][]netip.Addr // of the nodes, by gateway name
	Tunnel      *NodeTunnel             // of this gateway
	Silent      []string                // other gateways of this cluster that have just died
}

// own are the gateways of this cluster.
func (v View) own() []status.Gateway {
	i := slices.IndexFunc(v.Datacenters, func(dc status.Datacenter) bool { return dc.Self })
	if i < 0 {
		return nil
	}
	return v.Datacenters[i].Gateways
}

// merge puts what the view says of a datacenter into its status. What several
// gateways write is the same for all; of Through each has its own entry, and
// what follows from all entries is computed anew by everybody who writes. So
// whoever writes last, the result is the same.
func merge(have Status, v View, dc status.Datacenter, generation int64, now time.Time) Status {
	s := Status{
		Self: dc.Self, Ordinal: int64(dc.Ordinal), Federation: v.Federation.Name, Overlay: v.Federation.Overlay,
		Through:    through(have.Through, v, dc),
		Conditions: slices.Clone(have.Conditions),
	}
	for _, p := range dc.Prefixes {
		s.Prefixes = append(s.Prefixes, Prefix{CIDR: p.CIDR.String(), Kind: p.Kind})
	}
	for _, g := range dc.Gateways {
		s.Gateways = append(s.Gateways, s.gateway(v, g))
	}
	s.summarize()
	s.setConditions(v, dc, generation, now)
	return s
}

// through replaces the own entry, and drops those of gateways that are gone, or
// have just died: these reach nobody until they write again.
func through(have []Through, v View, dc status.Datacenter) []Through {
	mine := Through{Gateway: v.Self}
	own := v.own()
	var out []Through
	for _, t := range have {
		switch {
		case t.Gateway == v.Self:
			mine.Peers = t.Peers // to compare with
		case !dc.Self && slices.Contains(v.Silent, t.Gateway):
		case slices.ContainsFunc(own, func(g status.Gateway) bool { return g.Name == t.Gateway }):
			out = append(out, t)
		}
	}
	before := mine.Peers
	mine.Peers = nil
	if dc.Self {
		mine.Tunnel = v.Tunnel
	}
	// Nodes go by it. The last gateway stays in use: there is no other way.
	away := v.Draining && slices.ContainsFunc(own, func(g status.Gateway) bool { return g.Name != v.Self && !g.Draining })
	for _, g := range dc.Gateways {
		if dc.Self {
			break
		}
		p := Peer{Name: g.Name, Reachable: (g.Up || g.Draining) && !away}
		if g.Up {
			i := slices.IndexFunc(before, func(b Peer) bool { return b.Name == g.Name })
			p.RTT = formatRTT(g.RTT)
			if i >= 0 && sameRTT(before[i].RTT, g.RTT) {
				p.RTT = before[i].RTT
			}
		}
		mine.Peers = append(mine.Peers, p)
	}
	out = append(out, mine)
	slices.SortFunc(out, func(a, b Through) int { return cmp.Compare(a.Gateway, b.Gateway) })
	return out
}

// sameRTT tells whether a measured round trip is not worth a write.
func sameRTT(written string, measured time.Duration) bool {
	before, err := time.ParseDuration(written)
	return err == nil && measured > 0 && (before-measured).Abs() <= max(2*time.Millisecond, before/4)
}

// formatRTT rounds to what people care for; empty: not measured.
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

// gateway joins the catalog's record with what all own gateways see.
func (s *Status) gateway(v View, g status.Gateway) Gateway {
	out := Gateway{Name: g.Name, Index: int64(g.Index), Overlay: g.Overlay, Version: g.Version}
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
	s.Summary.Prefixes = strings.Join(cidrs, ",")
	s.Summary.Gateways = fmt.Sprintf("%d/%d", up, len(s.Gateways))
}

// setConditions sets the conditions. The time of a condition changes only with its status.
func (s *Status) setConditions(v View, dc status.Datacenter, generation int64, now time.Time) {
	reachable := metav1.Condition{
		Type: ConditionReachable, Status: metav1.ConditionFalse, Reason: ReasonNoTunnel,
		Message: "no gateway of it answers through a tunnel",
	}
	up := slices.ContainsFunc(s.Gateways, func(g Gateway) bool { return g.Reachable })
	switch {
	case dc.Self:
		reachable.Status, reachable.Reason, reachable.Message = metav1.ConditionTrue, ReasonSelf, "this cluster itself"
	case len(s.Gateways) == 0:
		reachable.Reason, reachable.Message = ReasonNoGateway, "it has no gateway"
	case up:
		reachable.Status, reachable.Reason, reachable.Message = metav1.ConditionTrue, ReasonTunnelUp, "at least one gateway of it answers through a tunnel"
	}
	ready := metav1.Condition{
		Type: ConditionReady, Status: metav1.ConditionTrue, Reason: ReasonRouted, Message: "all its prefixes are routed",
	}
	if complaint := refusedPrefixes(v.Problems, dc.Name); complaint != "" {
		ready.Status, ready.Reason, ready.Message = metav1.ConditionFalse, ReasonPrefixesRefused, complaint
	}
	if reachable.Status != metav1.ConditionTrue {
		ready.Status, ready.Reason, ready.Message = metav1.ConditionFalse, ReasonNotReachable, reachable.Message
	}
	for _, c := range []metav1.Condition{reachable, ready} {
		c.ObservedGeneration, c.LastTransitionTime = generation, metav1.NewTime(now.UTC().Truncate(time.Second))
		meta.SetStatusCondition(&s.Conditions, c)
	}
}

// refusedPrefixes says which prefixes of a datacenter nobody routes.
func refusedPrefixes(problems []plan.Problem, name string) string {
	var messages []string
	for _, p := range problems {
		if p.Subject == "datacenter "+name && strings.HasPrefix(p.Code, "prefix-") {
			messages = append(messages, p.Message)
		}
	}
	return strings.Join(messages, "; ")
}

// withoutGateway takes the entry of one gateway out; false: it had none.
func withoutGateway(s Status, gateway string) (Status, bool) {
	i := slices.IndexFunc(s.Through, func(t Through) bool { return t.Gateway == gateway })
	if i < 0 {
		return s, false
	}
	s.Through = slices.Delete(slices.Clone(s.Through), i, i+1)
	return s, true
}

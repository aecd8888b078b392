package interference_test

import (
	"encoding/json"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/agent/interference"
	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/routes"
	"github.com/meshway/meshway/routes/ruleset/rulesettest"
	"github.com/meshway/meshway/tunnel"
)

// filters returns the packets of a gateway with one lane and one peer.
func filters() interference.Filters {
	p := diversionPaths()
	p.Host.Underlay = []string{"eth0"}
	p.Config.Liveness.Port = 3784
	return interference.Filters{
		Paths: p,
		Tunnels: []tunnel.Observed{{
			Config: tunnel.Config{Name: "mesh0", ListenPort: 51820},
			Peers:  []tunnel.ObservedPeer{{Peer: tunnel.Peer{Endpoint: netip.MustParseAddrPort("198.51.100.2:51820")}}},
		}},
		Firewall: routes.Firewall{
			Lanes:       []routes.Lane{{Device: "mesh0", Sources: []netip.Prefix{netip.MustParsePrefix("10.3.0.0/16")}}},
			Local:       []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16")},
			Remote:      []netip.Prefix{netip.MustParsePrefix("10.3.0.0/16")},
			TunnelPorts: []uint16{51820},
		},
		Sessions: []plan.SessionConfig{{Device: "mesh0", Local: addresses("100.96.0.1")[0], Remote: addresses("100.96.0.3")[0]}},
	}
}

func TestRulesThatDropTrafficAreReportedWithTheCommandThatLetsItPass(t *testing.T) {
	const boot = ", and add the same to what loads these rules at boot"
	for file, want := range map[string][]plan.Problem{
		"forward-policy.nft": {{
			Code: "traffic-filtered", Severity: plan.Error, Subject: `chain FORWARD of table "ip filter"`,
			Message: `chain FORWARD of table "ip filter" drops packets of pods to other datacenters and packets of other datacenters to pods: the cause is its policy drop`,
			Remedy:  "run iptables -I FORWARD -o mesh+ -j ACCEPT && iptables -I FORWARD -i mesh+ -j ACCEPT" + boot,
		}},
		"docker.rules": {{
			Code: "traffic-filtered", Severity: plan.Error, Subject: `chain FORWARD of table "ip filter"`,
			Message: `chain FORWARD of table "ip filter" drops packets of pods to other datacenters and packets of other datacenters to pods: the cause is its policy drop`,
			Remedy:  "run iptables -I DOCKER-USER -o mesh+ -j ACCEPT && iptables -I DOCKER-USER -i mesh+ -j ACCEPT" + boot,
		}},
		"ufw.rules": {
			{
				Code: "traffic-filtered", Severity: plan.Error, Subject: `chain FORWARD of table "ip filter"`,
				Message: `chain FORWARD of table "ip filter" drops packets of pods to other datacenters and packets of other datacenters to pods: the cause is its policy drop`,
				Remedy:  "run ufw route allow out on mesh0 && ufw route allow in on mesh0",
			},
			{
				Code: "traffic-filtered", Severity: plan.Warning, Subject: `chain INPUT of table "ip filter"`,
				Message: `chain INPUT of table "ip filter" drops WireGuard packets of other gateways unless they answer packets in the opposite direction: the cause is its policy drop`,
				Remedy:  "run ufw allow in 51820/udp",
			},
			{
				Code: "traffic-filtered", Severity: plan.Error, Subject: `chain INPUT of table "ip filter"`,
				Message: `chain INPUT of table "ip filter" drops liveness packets from the tunnels and connections from the tunnels to the control port: the cause is its policy drop`,
				Remedy:  "run ufw allow in on mesh0",
			},
		},
		"firewalld.nft": {
			{
				Code: "traffic-filtered", Severity: plan.Error, Subject: `chain filter_FORWARD of table "inet firewalld"`,
				Message: `chain filter_FORWARD of table "inet firewalld" drops packets of pods to other datacenters and packets of other datacenters to pods: ` +
					`the cause is the rule "reject with icmpx admin-prohibited" of chain filter_FWD_public`,
				Remedy: "run firewall-cmd --permanent --zone=trusted --add-interface=mesh0 --add-source=10.1.0.0/16 && firewall-cmd --reload",
			},
			{
				Code: "traffic-filtered", Severity: plan.Warning, Subject: `chain filter_INPUT of table "inet firewalld"`,
				Message: `chain filter_INPUT of table "inet firewalld" drops WireGuard packets of other gateways unless they answer packets in the opposite direction: ` +
					`the cause is the rule "reject with icmpx admin-prohibited" of chain filter_IN_public`,
				Remedy: "run firewall-cmd --permanent --add-port=51820/udp && firewall-cmd --reload",
			},
			{
				Code: "traffic-filtered", Severity: plan.Error, Subject: `chain filter_INPUT of table "inet firewalld"`,
				Message: `chain filter_INPUT of table "inet firewalld" drops liveness packets from the tunnels and connections from the tunnels to the control port: ` +
					`the cause is the rule "reject with icmpx admin-prohibited" of chain filter_IN_public`,
				Remedy: "run firewall-cmd --permanent --zone=trusted --add-interface=mesh0 && firewall-cmd --reload",
			},
		},
		"input-port.nft": {{
			Code: "traffic-filtered", Severity: plan.Error, Subject: `chain in of table "inet fw"`,
			Message: `chain in of table "inet fw" drops WireGuard packets of other gateways: the cause is the rule "iifname \"eth0\" udp dport 51820 drop"`,
			Remedy:  "run nft insert rule inet fw in 'udp dport { 51820 } accept'" + boot,
		}},
		"output.nft": {
			{
				Code: "traffic-filtered", Severity: plan.Error, Subject: `chain out of table "inet fw"`,
				Message: `chain out of table "inet fw" drops WireGuard packets to other gateways and liveness packets to the tunnels: the cause is its policy drop`,
				Remedy:  `run nft insert rule inet fw out 'udp sport { 51820 } accept' && nft insert rule inet fw out 'oifname "mesh*" accept'` + boot,
			},
		},
		"raw.nft": {{
			Code: "traffic-filtered", Severity: plan.Error, Subject: `chain PREROUTING of table "ip raw"`,
			Message: `chain PREROUTING of table "ip raw" drops WireGuard packets of other gateways: the cause is the rule "udp dport 51820 drop"`,
			Remedy:  "run iptables -t raw -I PREROUTING -p udp -m multiport --dports 51820 -j ACCEPT" + boot,
		}},
		"docker.legacy": {{
			Code: "traffic-filtered", Severity: plan.Error, Subject: `chain FORWARD of table "ip filter of iptables-legacy"`,
			Message: `chain FORWARD of table "ip filter of iptables-legacy" drops packets of pods to other datacenters and packets of other datacenters to pods: ` +
				`the cause is its policy drop`,
			Remedy: "run iptables-legacy -I DOCKER-USER -o mesh+ -j ACCEPT && iptables-legacy -I DOCKER-USER -i mesh+ -j ACCEPT" + boot,
		}},
		"docker-accepting.rules": nil,
		"ufw-accepting.rules":    nil,
		"kube-proxy.rules":       nil,
		"kube-proxy.nft":         nil,
		"kube-proxy.legacy":      nil,
		"cilium.rules":           nil,
		"unknown.nft":            nil,
	} {
		recorded, err := rulesettest.Files.ReadFile("testdata/" + file + ".json")
		require.NoError(t, err)
		f := filters()
		require.NoError(t, json.Unmarshal(recorded, &f.Others))
		assert.Equal(t, want, f.Problems(), file)
	}
}

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
	"github.com/meshway/meshway/routes/ruleset"
	"github.com/meshway/meshway/routes/ruleset/rulesettest"
	"github.com/meshway/meshway/tunnel"
)

// filters returns the packets of a gateway with one lane and one peer.
func filters() interference.Filters {
	p := diversionPaths()
	p.Host.Underlay = []string{"eth0"}
	p.Config.Liveness.Port = 3784
	p.Sessions = []plan.SessionConfig{{Device: "mesh0", Local: addresses("100.96.0.1")[0], Remote: addresses("100.96.0.3")[0]}}
	return interference.Filters{
		Paths: p,
		Tunnels: []tunnel.Observed{{
			Config: tunnel.Config{Name: "mesh0", ListenPort: 51820, Mark: 0x20},
			Peers:  []tunnel.ObservedPeer{{Peer: tunnel.Peer{Endpoint: netip.MustParseAddrPort("198.51.100.2:51820")}}},
		}},
		Firewall: routes.Firewall{
			Lanes:       []routes.Lane{{Device: "mesh0", Sources: []netip.Prefix{netip.MustParsePrefix("10.3.0.0/16")}}},
			Local:       []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16")},
			Remote:      []netip.Prefix{netip.MustParsePrefix("10.3.0.0/16")},
			TunnelPorts: []uint16{51820},
			Mark:        0x20,
		},
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
				Message: `chain FORWARD of table "ip filter" drops TCP and UDP packets of pods to other datacenters and TCP and UDP packets of other datacenters to pods: the cause is its policy drop`,
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
		"raw.nft": {
			{
				Code: "traffic-filtered", Severity: plan.Warning, Subject: `chain PREROUTING of table "ip raw"`,
				Message: `chain PREROUTING of table "ip raw" may drop some packets of pods to other datacenters and packets of other datacenters to pods: ` +
					`the cause is the rule "udp dport 51820 drop"`,
				Remedy: "run iptables -t raw -I PREROUTING -d 10.3.0.0/16 -j ACCEPT && iptables -t raw -I PREROUTING -i mesh+ -j ACCEPT" + boot,
			},
			{
				Code: "traffic-filtered", Severity: plan.Error, Subject: `chain PREROUTING of table "ip raw"`,
				Message: `chain PREROUTING of table "ip raw" drops WireGuard packets of other gateways: the cause is the rule "udp dport 51820 drop"`,
				Remedy:  "run iptables -t raw -I PREROUTING -p udp -m multiport --dports 51820 -j ACCEPT" + boot,
			},
		},
		"marks.nft": {
			{
				Code: "traffic-filtered", Severity: plan.Warning, Subject: `chain through of table "inet fw"`,
				Message: `chain through of table "inet fw" may drop some packets of pods to other datacenters and packets of other datacenters to pods: ` +
					`the cause is the rule "meta mark 0x00000020 drop"`,
				Remedy: `run nft insert rule inet fw through 'oifname "mesh*" accept' && nft insert rule inet fw through 'iifname "mesh*" accept'` + boot,
			},
			{
				Code: "traffic-filtered", Severity: plan.Warning, Subject: `chain early of table "inet fw"`,
				Message: `chain early of table "inet fw" may drop some packets of pods to other datacenters, packets of other datacenters to pods and ` +
					`WireGuard packets of other gateways: the cause is the rule "udp dport 51820 meta mark 0x00000020 drop"`,
				Remedy: "run nft insert rule inet fw early 'ip daddr { 10.3.0.0/16 } accept' && " + `nft insert rule inet fw early 'iifname "mesh*" accept' && ` +
					"nft insert rule inet fw early 'udp dport { 51820 } accept'" + boot,
			},
			{
				Code: "traffic-filtered", Severity: plan.Error, Subject: `chain in of table "inet fw"`,
				Message: `chain in of table "inet fw" drops WireGuard packets of other gateways: the cause is the rule "iifname \"eth*\" meta mark & 0x00000020 == 0x00000020 drop"`,
				Remedy:  "run nft insert rule inet fw in 'udp dport { 51820 } accept'" + boot,
			},
			{
				Code: "traffic-filtered", Severity: plan.Error, Subject: `chain out of table "inet fw"`,
				Message: `chain out of table "inet fw" drops WireGuard packets to other gateways: ` +
					`the cause is the rule "meta mark vmap { 0x00000001 : accept, 0x00000010-0x00000030 : drop }"`,
				Remedy: "run nft insert rule inet fw out 'udp sport { 51820 } accept'" + boot,
			},
			{
				Code: "traffic-filtered", Severity: plan.Error, Subject: `chain out of table "inet fw"`,
				Message: `chain out of table "inet fw" drops liveness packets to the tunnels and connections through the tunnels to control ports: ` +
					`the cause is the rule "meta mark & 0x000000f0 != 0x00000020 drop"`,
				Remedy: `run nft insert rule inet fw out 'oifname "mesh*" accept'` + boot,
			},
		},
		"docker.legacy": {{
			Code: "traffic-filtered", Severity: plan.Error, Subject: `chain FORWARD of table "ip filter of iptables-legacy"`,
			Message: `chain FORWARD of table "ip filter of iptables-legacy" drops packets of pods to other datacenters and packets of other datacenters to pods: ` +
				`the cause is its policy drop`,
			Remedy: "run iptables-legacy -I DOCKER-USER -o mesh+ -j ACCEPT && iptables-legacy -I DOCKER-USER -i mesh+ -j ACCEPT" + boot,
		}},
		"devices.nft": {
			{
				Code: "traffic-filtered", Severity: plan.Warning, Subject: `chain lane-out of table "netdev edge"`,
				Message: `chain lane-out of table "netdev edge" may drop some packets of pods to other datacenters: the cause is the rule "tcp dport 8080 drop"`,
				Remedy:  `run nft insert rule netdev edge lane-out 'oifname "mesh*" accept'` + boot,
			},
			{
				Code: "traffic-filtered", Severity: plan.Error, Subject: `chain lane of table "netdev edge"`,
				Message: `chain lane of table "netdev edge" drops packets of other datacenters to pods, liveness packets from the tunnels and ` +
					`connections from the tunnels to the control port: the cause is its policy drop`,
				Remedy: `run nft insert rule netdev edge lane 'iifname "mesh*" accept'` + boot,
			},
			{
				Code: "traffic-filtered", Severity: plan.Error, Subject: `chain both of table "netdev edge"`,
				Message: `chain both of table "netdev edge" drops WireGuard packets of other gateways: the cause is the rule "udp dport vmap { 53 : accept, 51820 : drop }"`,
				Remedy:  "run nft insert rule netdev edge both 'udp dport { 51820 } accept'" + boot,
			},
			{
				Code: "traffic-filtered", Severity: plan.Error, Subject: `chain out of table "netdev edge"`,
				Message: `chain out of table "netdev edge" drops WireGuard packets to other gateways: the cause is the rule "ip daddr 198.51.100.0/24 udp sport 51820 drop"`,
				Remedy:  "run nft insert rule netdev edge out 'udp sport { 51820 } accept'" + boot,
			},
		},
		"vmaps.nft": {
			{
				Code: "traffic-filtered", Severity: plan.Warning, Subject: `chain unsure of table "inet fw"`,
				Message: `chain unsure of table "inet fw" may drop some packets of pods to other datacenters and packets of other datacenters to pods: the cause is its policy drop`,
				Remedy:  `run nft insert rule inet fw unsure 'oifname "mesh*" accept' && nft insert rule inet fw unsure 'iifname "mesh*" accept'` + boot,
			},
			{
				Code: "traffic-filtered", Severity: plan.Error, Subject: `chain output of table "inet fw"`,
				Message: `chain output of table "inet fw" drops WireGuard packets to other gateways: ` +
					`the cause is the rule "ip daddr . udp dport vmap { 198.51.100.2 . 51820 : drop, 198.51.100.3 . 51820 : accept }"`,
				Remedy: "run nft insert rule inet fw output 'udp sport { 51820 } accept'" + boot,
			},
			{
				Code: "traffic-filtered", Severity: plan.Error, Subject: `chain input of table "inet fw"`,
				Message: `chain input of table "inet fw" drops liveness packets from the tunnels: the cause is the rule "udp dport vmap { 51820 : accept, * : drop }"`,
				Remedy:  `run nft insert rule inet fw input 'iifname "mesh*" accept'` + boot,
			},
		},
		"bridge.nft":             nil,
		"docker-accepting.rules": nil,
		"ufw-accepting.rules":    nil,
		"kube-proxy.rules":       nil,
		"kube-proxy.nft":         nil,
		"kube-proxy.legacy":      nil,
		"cilium.rules":           nil,
		"calico.rules":           nil,
		"unknown.nft": {
			{
				Code: "traffic-filtered", Severity: plan.Warning, Subject: `chain input of table "inet fw"`,
				Message: `chain input of table "inet fw" may drop some WireGuard packets of other gateways, liveness packets from the tunnels and ` +
					`connections from the tunnels to the control port: the cause is its policy drop`,
				Remedy: `run nft insert rule inet fw input 'udp dport { 51820 } accept' && nft insert rule inet fw input 'iifname "mesh*" accept'` + boot,
			},
			{
				Code: "traffic-filtered", Severity: plan.Warning, Subject: `chain output of table "inet fw"`,
				Message: `chain output of table "inet fw" may drop some WireGuard packets to other gateways: the cause is the rule "limit rate over 10/second drop"`,
				Remedy:  `run nft insert rule inet fw output 'udp sport { 51820 } accept'` + boot,
			},
			{
				Code: "traffic-filtered", Severity: plan.Warning, Subject: `chain output of table "inet fw"`,
				Message: `chain output of table "inet fw" may drop some WireGuard packets to other gateways: the cause is the rule "meta skuid 0 drop"`,
				Remedy:  `run nft insert rule inet fw output 'udp sport { 51820 } accept'` + boot,
			},
			{
				Code: "traffic-filtered", Severity: plan.Error, Subject: `chain output of table "inet fw"`,
				Message: `chain output of table "inet fw" drops liveness packets to the tunnels and connections through the tunnels to control ports: ` +
					`the cause is the rule "meta skuid 0 drop"`,
				Remedy: `run nft insert rule inet fw output 'oifname "mesh*" accept'` + boot,
			},
		},
	} {
		recorded, err := rulesettest.Files.ReadFile("testdata/" + file + ".json")
		require.NoError(t, err)
		f := filters()
		require.NoError(t, json.Unmarshal(recorded, &f.Others))
		assert.Equal(t, want, f.Problems(), file)
	}
}

// TestPacketsOfPodsPassTheRulesOfTheirBridge has a bridge with the ports of pods. Its
// packets for other hosts are not forwarded by the bridge itself.
func TestPacketsOfPodsPassTheRulesOfTheirBridge(t *testing.T) {
	base := func(name, hook string) ruleset.Chain {
		return ruleset.Chain{Table: ruleset.Table{Family: "bridge", Name: "filter"}, Name: name, Type: "filter", Hook: hook, Policy: "drop"}
	}
	f := filters()
	f.Firewall.Remote = append(f.Firewall.Remote, netip.MustParsePrefix("fd00:3::/48"))
	f.Others.Chains = []ruleset.Chain{base("INPUT", "input"), base("FORWARD", "forward"), base("OUTPUT", "output")}
	assert.Empty(t, f.Problems(), "the link of the pods is no bridge")

	f.Host.Links[0].Ports = []string{"veth1", "veth2"}
	var remedies []string
	for _, p := range f.Problems() {
		remedies = append(remedies, p.Subject+": "+p.Remedy)
	}
	const boot = ", and add the same to what loads these rules at boot"
	assert.Equal(t, []string{
		`chain INPUT of table "bridge filter": run nft insert rule bridge filter INPUT 'ip daddr { 10.3.0.0/16 } accept' && ` +
			`nft insert rule bridge filter INPUT 'ip6 daddr { fd00:3::/48 } accept'` + boot,
		`chain OUTPUT of table "bridge filter": run nft insert rule bridge filter OUTPUT 'ip saddr { 10.3.0.0/16 } accept' && ` +
			`nft insert rule bridge filter OUTPUT 'ip6 saddr { fd00:3::/48 } accept'` + boot,
	}, remedies)
}

// TestChainsOfOtherDevicesAreIgnored has several devices outside of the pods' networks, of
// which one has a route to the peer.
func TestChainsOfOtherDevicesAreIgnored(t *testing.T) {
	f := filters()
	f.Host.Underlay = []string{"docker0", "eth0"}
	f.Host.Routes = []routes.HostRoute{
		{Prefix: netip.MustParsePrefix("172.17.0.0/16"), Device: "docker0"},
		{Prefix: netip.MustParsePrefix("0.0.0.0/0"), Device: "eth0", Via: addresses("192.0.2.1")[0]},
	}
	on := func(device string) []ruleset.Chain {
		return []ruleset.Chain{{Table: ruleset.Table{Family: "netdev", Name: "t"}, Name: "c", Type: "filter", Hook: "ingress", Policy: "drop", Devices: []string{device}}}
	}
	f.Others.Chains = on("docker0")
	assert.Empty(t, f.Problems())
	f.Others.Chains = on("eth*")
	assert.Len(t, f.Problems(), 1)
	f.Host.Routes = nil
	assert.Empty(t, f.Problems(), "each of the devices may carry the packets")
}

// TestRulesForSomePodsAreWarnings has rules for a part of the addresses for which a packet
// stands.
func TestRulesForSomePodsAreWarnings(t *testing.T) {
	for match, want := range map[string][2]any{
		"10.1.0.0/24":  {plan.Error, `chain c of table "ip t" drops packets of pods to other datacenters: the cause is the rule "ip saddr"`},
		"10.1.0.0/28":  {plan.Warning, `chain c of table "ip t" may drop some packets of pods to other datacenters: the cause is the rule "ip saddr"`},
		"10.1.0.77/32": {plan.Warning, `chain c of table "ip t" may drop some packets of pods to other datacenters: the cause is the rule "ip saddr"`},
		"10.1.1.0/24":  {},
	} {
		prefix := netip.MustParsePrefix(match)
		f := filters()
		f.Others.Chains = []ruleset.Chain{{Table: ruleset.Table{Family: "ip", Name: "t"}, Name: "c", Type: "filter", Hook: "forward", Policy: "accept", Rules: []ruleset.Rule{{
			Text: "ip saddr",
			Statements: []ruleset.Statement{
				{"match": map[string]any{
					"op": "==", "left": map[string]any{"payload": map[string]any{"protocol": "ip", "field": "saddr"}},
					"right": map[string]any{"prefix": map[string]any{"addr": prefix.Addr().String(), "len": float64(prefix.Bits())}},
				}},
				{"drop": nil},
			},
		}}}}
		found := f.Problems()
		if want[1] == nil {
			assert.Empty(t, found, match)
			continue
		}
		require.Len(t, found, 1, match)
		assert.Equal(t, want, [2]any{found[0].Severity, found[0].Message}, match)
	}
}

// TestRulesForEstablishedConnectionsAreFound drops all but the first packets.
func TestRulesForEstablishedConnectionsAreFound(t *testing.T) {
	f := filters()
	f.Others.Chains = []ruleset.Chain{{Table: ruleset.Table{Family: "ip", Name: "t"}, Name: "c", Type: "filter", Hook: "forward", Policy: "accept", Rules: []ruleset.Rule{{
		Text: "ct state",
		Statements: []ruleset.Statement{
			{"match": map[string]any{"op": "in", "left": map[string]any{"ct": map[string]any{"key": "state"}}, "right": "established"}},
			{"drop": nil},
		},
	}}}}
	found := f.Problems()
	require.Len(t, found, 1)
	assert.Equal(t, plan.Error, found[0].Severity)
}

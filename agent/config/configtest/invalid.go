package configtest

import (
	"slices"
	"strings"
)

// Invalid is a configuration that the agent refuses.
type Invalid struct {
	Name   string
	Source string
	Want   []string // all errors that Parse returns
	Bare   bool     // its error is that it has no datacenter
}

// Text returns the source with a datacenter, unless it has one or is bare.
func (i Invalid) Text() string {
	if strings.Contains(i.Source, "datacenter") || i.Bare {
		return i.Source
	}
	return "datacenter: east\n" + i.Source
}

// InvalidConfigurations returns configurations with all errors that Parse returns for them.
func InvalidConfigurations() []Invalid {
	return slices.Concat(invalidTexts(), invalidPorts(), invalidKeys(), invalidValues(), invalidLists())
}

func invalidTexts() []Invalid {
	return []Invalid{
		{Name: "empty", Bare: true, Want: []string{
			`meshd.yaml: datacenter: the name is required; write "datacenter: NAME", or use --datacenter NAME`,
		}},
		{Name: "only a comment", Source: "# hello\n", Bare: true, Want: []string{
			`meshd.yaml: datacenter: the name is required; write "datacenter: NAME", or use --datacenter NAME`,
		}},
		{Name: "another encoding", Source: "\xff\xfed\x00a\x00", Bare: true, Want: []string{
			`meshd.yaml: it is not UTF-8 text; save it as UTF-8`,
		}},
		{Name: "names of other interfaces", Source: "wireguard: {interface: eth}\n", Want: []string{
			`meshd.yaml:2:24: wireguard.interface: "eth" is also the prefix of other interfaces, such as eth0; use another one, such as mesh`,
		}},
		{Name: "names of bridges of virtual machines", Source: "wireguard: {interface: vmbr}\n", Want: []string{
			`meshd.yaml:2:24: wireguard.interface: "vmbr" is also the prefix of other interfaces, such as vmbr0; use another one, such as mesh`,
		}},
		{Name: "names of another VPN", Source: "wireguard: {interface: tailscale}\n", Want: []string{
			`meshd.yaml:2:24: wireguard.interface: "tailscale" is also the prefix of other interfaces, such as tailscale0; use another one, such as mesh`,
		}},
		{Name: "endpoints that other hosts cannot reach", Source: "wireguard: {advertise: ['127.0.0.1:51820', '169.254.7.1:1', '255.255.255.255:1', '[::ffff:127.0.0.1]:1', '[::1]:1', 'localhost:1', 'gw.localhost.:1', '[2001:db8::1%eth0]:1']}\n", Want: []string{
			`meshd.yaml:2:25: wireguard.advertise: "127.0.0.1:51820" has a loopback address, which other networks cannot reach; write host:port, such as 192.0.2.1:51820, [2001:db8::1]:51820 or gw.example.org:51820`,
			`meshd.yaml:2:44: wireguard.advertise: "169.254.7.1:1" has a link-local address, which other networks cannot reach; write host:port, such as 192.0.2.1:51820, [2001:db8::1]:51820 or gw.example.org:51820`,
			`meshd.yaml:2:61: wireguard.advertise: "255.255.255.255:1" has an unspecified or broadcast address, which other networks cannot reach; write host:port, such as 192.0.2.1:51820, [2001:db8::1]:51820 or gw.example.org:51820`,
			`meshd.yaml:2:82: wireguard.advertise: "[::ffff:127.0.0.1]:1" has a loopback address, which other networks cannot reach; write host:port, such as 192.0.2.1:51820, [2001:db8::1]:51820 or gw.example.org:51820`,
			`meshd.yaml:2:106: wireguard.advertise: "[::1]:1" has a loopback address, which other networks cannot reach; write host:port, such as 192.0.2.1:51820, [2001:db8::1]:51820 or gw.example.org:51820`,
			`meshd.yaml:2:117: wireguard.advertise: "localhost:1" has a name that every host resolves to itself; write host:port, such as 192.0.2.1:51820, [2001:db8::1]:51820 or gw.example.org:51820`,
			`meshd.yaml:2:132: wireguard.advertise: "gw.localhost.:1" has a name that every host resolves to itself; write host:port, such as 192.0.2.1:51820, [2001:db8::1]:51820 or gw.example.org:51820`,
			`meshd.yaml:2:151: wireguard.advertise: "[2001:db8::1%eth0]:1" has a zone, which is an interface of this host; write host:port, such as 192.0.2.1:51820, [2001:db8::1]:51820 or gw.example.org:51820`,
		}},
		{Name: "zone in an endpoint", Source: "wireguard: {advertise: [\"[fe80::1%eth0]:51820\"]}\n", Want: []string{
			`meshd.yaml:2:25: wireguard.advertise: "[fe80::1%eth0]:51820" has a link-local address, which other networks cannot reach; write host:port, such as 192.0.2.1:51820, [2001:db8::1]:51820 or gw.example.org:51820`,
		}},
		{Name: "unnamed ports of a service", Source: "prefixes: {pods: [10.1.0.0/16]}\nservices: [{name: a, address: 10.1.0.5, ports: [{name: x, port: 80}, {port: 81}]}]\n", Want: []string{
			`meshd.yaml:3:13: services[0].ports[1]: the port has no name; name each port if there are several`,
		}},
	}
}

func invalidPorts() []Invalid {
	return []Invalid{
		{Name: "liveness on a port of the tunnels", Source: "wireguard: {port: 3700}\nliveness: {port: 3763}\n", Want: []string{
			`meshd.yaml:3:18: liveness.port: 3763 is a port of the tunnels, which use UDP 3700 to 3763 from wireguard.port on; use another one`,
		}},
		{Name: "tunnels on the default port of liveness", Source: "wireguard: {port: 3784}\n", Want: []string{
			`meshd.yaml:2:19: liveness.port: 3784 is a port of the tunnels, which use UDP 3784 to 3847 from wireguard.port on; use another one`,
		}},
		{Name: "metrics on the control port", Source: "metrics: {listen: \"127.0.0.1:7443\"}\n", Want: []string{
			`meshd.yaml:2:19: metrics.listen: 127.0.0.1:7443 is also the port of control.listen [::]:7443; use another one`,
		}},
		{Name: "the catalog on the network", Source: "catalog: {listen: \":8443\", tokens: t}\n", Want: []string{
			`meshd.yaml:2:19: catalog.listen: [::]:8443 is not an address of the loopback interface; use one, such as 127.0.0.1:8443`,
			`meshd.yaml:2:36: catalog.tokens: "t" is not an absolute path; begin it with /`,
		}},
		{Name: "the catalog without tokens", Source: "catalog: {listen: \"127.0.0.1:8443\"}\n", Want: []string{
			`meshd.yaml:2:19: catalog.listen: it needs catalog.tokens; write "tokens: /etc/meshway/catalog-tokens"`,
		}},
		{Name: "the catalog on the port of the metrics", Source: "catalog: {listen: \"127.0.0.1:9443\", tokens: /t}\n", Want: []string{
			`meshd.yaml:2:19: catalog.listen: 127.0.0.1:9443 is also the port of metrics.listen 127.0.0.1:9443; use another one`,
		}},
		{Name: "empty name", Source: "datacenter: ''\n", Want: []string{
			`meshd.yaml:1:13: datacenter: the name is required; write "datacenter: NAME", or use --datacenter NAME`,
		}},
		{Name: "unknown key", Source: "wireguard:\n  prot: 51820\n", Want: []string{
			`meshd.yaml:3:3: unknown key "wireguard.prot": did you mean "port"?`,
		}},
		{Name: "key with another spelling", Source: "datadir: /x\n", Want: []string{
			`meshd.yaml:2:1: unknown key "datadir": did you mean "dataDir"?`,
		}},
		{Name: "unknown key without a similar one", Source: "log:\n  colour: red\n", Want: []string{
			`meshd.yaml:3:3: unknown key "log.colour"; use one of level, format`,
		}},
		{Name: "several unknown keys, in nested lists", Source: "services:\n  - name: a\n    adddress: x\n    ports:\n      - numbr: 1\nfoo: 1\n", Want: []string{
			`meshd.yaml:4:5: unknown key "services.adddress": did you mean "address"?`,
			`meshd.yaml:6:9: unknown key "services.ports.numbr"; use one of name, protocol, port`,
			`meshd.yaml:7:1: unknown key "foo"; use one of datacenter, gateway, dataDir, witness, prefixes, kubernetes, control, wireguard, routing, liveness, raft, join, services, admin, metrics, catalog, log`,
		}},
	}
}

func invalidKeys() []Invalid {
	return []Invalid{
		{Name: "duplicate keys", Source: "log: {level: info}\nrouting: {table: 1, table: 2}\nlog: {level: info}\n", Want: []string{
			`meshd.yaml:3:21: duplicate key "routing.table": it is already in line 3; remove one`,
			`meshd.yaml:4:1: duplicate key "log": it is already in line 2; remove one`,
		}},
		{Name: "wrong types", Source: "gateway: 7\nprefixes: x\nrouting: {table: many}\nliveness: {interval: 5}\nlog: [a]\ncontrol: {listen: {a: b}}\n", Want: []string{
			`meshd.yaml:2:10: gateway: 7 is not text; put it in quotes`,
			`meshd.yaml:3:11: prefixes: expected keys with values`,
			`meshd.yaml:4:18: routing.table: expected a whole number`,
			`meshd.yaml:5:22: liveness.interval: "5" is not a duration; write a number and a unit, such as 25s or 200ms`,
			`meshd.yaml:6:6: log: expected keys with values`,
			`meshd.yaml:7:19: control.listen: expected text; put it in quotes`,
		}},
		{Name: "accepted and yielding ranges", Source: "routing:\n  accept: {east: [10.1.0.0/16], We: [10.2.0.1/16], south: 10.3.0.0/16}\n  yield: [x]\n", Want: []string{
			`meshd.yaml:3:59: routing.accept.south: expected a list: one "- " for each entry, or [a, b]`,
		}},
		{Name: "accepted and yielding prefixes", Source: "routing:\n  accept: {east: [10.1.0.0/16], We: [10.2.0.1/16]}\n  yield: [x]\n", Want: []string{
			`meshd.yaml:3:19: routing.accept.east: it is this datacenter; name another one`,
			`meshd.yaml:3:38: routing.accept.We: "We" is not a DNS label; use 1 to 63 of a-z, 0-9 and '-', with a letter or digit at both ends`,
			`meshd.yaml:3:38: routing.accept.We: prefix 10.2.0.1/16 has host bits set; write 10.2.0.0/16`,
			`meshd.yaml:4:11: routing.yield: "x" is not a prefix; write address/length, such as 10.1.0.0/16`,
		}},
		{Name: "value in place of a list", Source: "prefixes: {pods: 10.1.0.0/16}\n", Want: []string{
			`meshd.yaml:2:18: prefixes.pods: expected a list: one "- " for each entry, or [a, b]`,
		}},
		{Name: "anchors", Source: "log: &x {level: info}\nadmin: *x\n", Want: []string{
			`meshd.yaml:2:6: log: anchors, aliases and tags are not supported; write the value itself`,
			`meshd.yaml:3:8: admin: anchors, aliases and tags are not supported; write the value itself`,
		}},
		{Name: "two documents", Source: "log: {level: info}\n---\nlog: {level: info}\n", Want: []string{
			`meshd.yaml:4:4: a second document begins here; the configuration is one document`,
		}},
	}
}

func invalidValues() []Invalid {
	return []Invalid{
		{Name: "prefixes", Source: "prefixes:\n  pods: [10.1.2.0/16, 10.1.0.0, 0.0.0.0/0, '::ffff:10.0.0.0/104']\n  services: [10.2.0.0/16, 10.2.0.0/16]\n  nodes: [127.0.0.0/8, 10.2.0.0/16]\n", Want: []string{
			`meshd.yaml:3:10: prefixes.pods: prefix 10.1.2.0/16 has host bits set; write 10.1.0.0/16`,
			`meshd.yaml:3:23: prefixes.pods: "10.1.0.0" is not a prefix; write address/length, such as 10.1.0.0/16`,
			`meshd.yaml:3:33: prefixes.pods: prefix 0.0.0.0/0 contains every address; announce only prefixes that the datacenter owns`,
			`meshd.yaml:3:44: prefixes.pods: prefix ::ffff:10.0.0.0/104 is an IPv4-mapped IPv6 prefix; write it as an IPv4 prefix`,
			`meshd.yaml:4:27: prefixes.services: 10.2.0.0/16 is already in prefixes.services; list each prefix once`,
			`meshd.yaml:5:11: prefixes.nodes: prefix 127.0.0.0/8 overlaps 127.0.0.0/8, which no datacenter can own; announce only prefixes that the datacenter owns`,
			`meshd.yaml:5:24: prefixes.nodes: 10.2.0.0/16 is already in prefixes.services; list each prefix once`,
		}},
		{Name: "services among the pods", Source: "prefixes: {pods: [10.0.0.0/8, 'fd00:1::/48'], services: [10.96.0.0/12, 'fd00:2::/112']}\n", Want: []string{
			`meshd.yaml:2:58: prefixes.services: 10.96.0.0/12 overlaps 10.0.0.0/8 in prefixes.pods; pods and services have no address in common, so write the ranges that they have`,
		}},
		{Name: "services of a cluster among the pods", Source: "kubernetes: {podCIDRs: [10.1.0.0/16, 10.2.4.0/24], serviceCIDRs: [10.2.0.0/16]}\n", Want: []string{
			`meshd.yaml:2:67: kubernetes.serviceCIDRs: 10.2.0.0/16 overlaps 10.2.4.0/24 in kubernetes.podCIDRs; pods and services have no address in common, so write the ranges that they have`,
		}},
		{Name: "names", Source: "datacenter: East.1\ngateway: a_b\n", Want: []string{
			`meshd.yaml:1:13: datacenter: "East.1" is not a DNS label; use 1 to 63 of a-z, 0-9 and '-', with a letter or digit at both ends`,
			`meshd.yaml:2:10: gateway: "a_b" is not a DNS label; use 1 to 63 of a-z, 0-9 and '-', with a letter or digit at both ends`,
		}},
		{Name: "numbers out of range", Source: "wireguard: {port: 0, mtu: 1200}\nrouting: {table: 254, rulePriority: 32766, mark: 0}\nliveness: {multiplier: -1, port: 65536}\nraft: {snapshotThreshold: 18446744073709551615}\n", Want: []string{
			`meshd.yaml:2:19: wireguard.port: 0 is out of range; use 1 to 65472`,
			`meshd.yaml:2:27: wireguard.mtu: 1200 is out of range; use 1280 to 65455`,
			`meshd.yaml:3:18: routing.table: 254 is a table of the system; use another number, such as 7117`,
			`meshd.yaml:3:37: routing.rulePriority: 32766 is out of range; use 2 to 32765`,
			`meshd.yaml:3:50: routing.mark: 0 is out of range; use 1 to 4294967295`,
			`meshd.yaml:4:24: liveness.multiplier: -1 is out of range; use 2 to 50`,
			`meshd.yaml:4:34: liveness.port: 65536 is out of range; use 1 to 65535`,
			`meshd.yaml:5:27: raft.snapshotThreshold: 4611686018427387904 is out of range; use 64 to 16777216`,
		}},
		{Name: "durations out of range", Source: "liveness: {interval: 1ms}\nwireguard: {keepalive: 1500ms}\n", Want: []string{
			`meshd.yaml:2:22: liveness.interval: 1ms is out of range; use 50ms to 10s`,
			`meshd.yaml:3:24: wireguard.keepalive: 1.5s is not a whole number of seconds; WireGuard supports no fractions`,
		}},
		{Name: "unknown choices", Source: "wireguard: {dataplane: kernal}\nraft: {timers: slow, store: memory}\nlog: {level: trace, format: xml}\n", Want: []string{
			`meshd.yaml:2:24: wireguard.dataplane: "kernal" is unknown: did you mean "kernel"?`,
			`meshd.yaml:3:16: raft.timers: "slow" is unknown; use one of auto, lan, wan`,
			`meshd.yaml:3:29: raft.store: "memory" is unknown; use one of wal, bolt`,
			`meshd.yaml:4:14: log.level: "trace" is unknown; use one of debug, info, warn, error`,
			`meshd.yaml:4:29: log.format: "xml" is unknown; use one of text, json`,
		}},
		{Name: "addresses", Source: "control: {listen: '7443', advertise: ['10.0.0.1', 'gw:0', '[::]:1', '10.0.0.300:1', 'a b:1']}\nmetrics: {listen: 'localhost:1'}\n", Want: []string{
			`meshd.yaml:2:19: control.listen: "7443" is not an address to listen on; write address:port, such as [::]:7443 or 192.0.2.1:7443`,
			`meshd.yaml:2:39: control.advertise: "10.0.0.1" has no port; write host:port, such as 192.0.2.1:51820, [2001:db8::1]:51820 or gw.example.org:51820`,
			`meshd.yaml:2:51: control.advertise: "gw:0" has no port; write host:port, such as 192.0.2.1:51820, [2001:db8::1]:51820 or gw.example.org:51820`,
			`meshd.yaml:2:59: control.advertise: "[::]:1" has an unspecified or broadcast address, which other networks cannot reach; write host:port, such as 192.0.2.1:51820, [2001:db8::1]:51820 or gw.example.org:51820`,
			`meshd.yaml:2:69: control.advertise: "10.0.0.300:1" has no valid address; write host:port, such as 192.0.2.1:51820, [2001:db8::1]:51820 or gw.example.org:51820`,
			`meshd.yaml:2:85: control.advertise: "a b:1" has no host; write host:port, such as 192.0.2.1:51820, [2001:db8::1]:51820 or gw.example.org:51820`,
			`meshd.yaml:3:19: metrics.listen: "localhost:1" is not an address to listen on; write address:port, such as [::]:7443 or 192.0.2.1:7443`,
		}},
		{Name: "paths and names of interfaces", Source: "dataDir: data\nadmin: {socket: x}\njoin: {tokenFile: ./t}\nwireguard: {interface: mesh1}\n", Want: []string{
			`meshd.yaml:2:10: dataDir: "data" is not an absolute path; begin it with /`,
			`meshd.yaml:3:17: admin.socket: "x" is not an absolute path; begin it with /`,
			`meshd.yaml:4:19: join.tokenFile: "./t" is not an absolute path; begin it with /`,
			`meshd.yaml:5:24: wireguard.interface: "mesh1" is not a prefix of interface names; use 1 to 12 of a-z, 0-9 and '-' that end in a letter`,
		}},
	}
}

func invalidLists() []Invalid {
	return []Invalid{
		{Name: "prefixes that take the addresses of others", Source: "prefixes: {pods: [10.0.0.0/7], services: ['fd00::/12'], nodes: [64.0.0.0/4]}\nkubernetes: {podCIDRs: [16.0.0.0/4], serviceCIDRs: ['2600::/12']}\n", Want: []string{
			`meshd.yaml:2:19: prefixes.pods: prefix 10.0.0.0/7 is too large; use prefixes of length 8 or more`,
			`meshd.yaml:2:43: prefixes.services: prefix fd00::/12 is too large; use prefixes of length 16 or more`,
			`meshd.yaml:2:65: prefixes.nodes: prefix 64.0.0.0/4 is too large; use prefixes of length 8 or more`,
			`meshd.yaml:3:25: kubernetes.podCIDRs: prefix 16.0.0.0/4 is too large; use prefixes of length 8 or more`,
			`meshd.yaml:3:53: kubernetes.serviceCIDRs: prefix 2600::/12 is too large; use prefixes of length 16 or more`,
		}},
		{Name: "services", Source: "prefixes: {pods: [10.1.0.0/16]}\nservices:\n  - name: web\n    address: 10.2.0.1\n    ports: [{port: 80}, {port: 80}]\n  - {name: web, address: 10.1.0.1, ports: []}\n  - {address: nowhere, ports: [{protocol: tpc}]}\n  - {name: two, address: 10.1.0.1, ports: [{name: a, port: 1}, {name: b, port: 1}, {name: c, port: 1, protocol: udp}]}\n", Want: []string{
			`meshd.yaml:5:14: services[0].address: 10.2.0.1 is in none of this datacenter's prefixes, so that others cannot reach it; add its prefix to prefixes`,
			`meshd.yaml:6:26: services[0].ports: two ports have the same name or number; give each its own`,
			`meshd.yaml:7:6: services[1].ports: a service has at least one port; write "ports: [{port: 80}]"`,
			`meshd.yaml:7:6: services[1]: default/web instance gw1 is already in line 4; give each its own instance`,
			`meshd.yaml:8:6: services[2].name: "" is not a DNS label; use 1 to 63 of a-z, 0-9 and '-', with a letter or digit at both ends`,
			`meshd.yaml:8:15: services[2].address: "nowhere" is not an address; write one such as 10.1.0.5`,
			`meshd.yaml:8:33: services[2].ports.port: the number is required; write the port's number`,
			`meshd.yaml:8:43: services[2].ports.protocol: "tpc" is unknown: did you mean "tcp"?`,
			`meshd.yaml:9:65: services[3].ports: two ports have the same name or number; give each its own`,
		}},
		{Name: "kubernetes", Source: "kubernetes:\n  enabled: yes please\n", Want: []string{
			`meshd.yaml:3:12: kubernetes.enabled: expected true or false`,
		}},
		{Name: "kubernetes values", Source: "kubernetes:\n  enabled: true\n  nodeName: a_b\n  kubeconfig: ./x\n  podCIDRs: [10.1.0.1/16, x, 10.2.0.0/16, 10.2.1.0/24]\n  serviceCIDRs: [0.0.0.0/0]\n  gatewayLabel: gateway\n", Want: []string{
			`meshd.yaml: gateway: the host name "a_b" is not a valid name; write "gateway: NAME", or use --gateway NAME`,
			`meshd.yaml:4:13: kubernetes.nodeName: "a_b" is not a name of a node; check kubectl get nodes, or use --node-name NAME`,
			`meshd.yaml:5:15: kubernetes.kubeconfig: "./x" is not an absolute path; begin it with /`,
			`meshd.yaml:6:14: kubernetes.podCIDRs: prefix 10.1.0.1/16 has host bits set; write 10.1.0.0/16`,
			`meshd.yaml:6:27: kubernetes.podCIDRs: "x" is not a prefix; write address/length, such as 10.1.0.0/16`,
			`meshd.yaml:6:43: kubernetes.podCIDRs: 10.2.1.0/24 overlaps another prefix of the list; list each range once`,
			`meshd.yaml:7:18: kubernetes.serviceCIDRs: prefix 0.0.0.0/0 contains every address; announce only prefixes that the datacenter owns`,
			`meshd.yaml:8:17: kubernetes.gatewayLabel: "gateway" is not a label; write key=value, such as meshway.io/gateway=true`,
		}},
		{Name: "syntax error", Source: "log: [a\n", Want: []string{
			`meshd.yaml:2:6: this is not YAML: sequence end token ']' not found`,
		}},
		{Name: "text in place of keys", Source: "hello", Bare: true, Want: []string{
			`meshd.yaml:1:1: expected keys with values`,
		}},
	}
}

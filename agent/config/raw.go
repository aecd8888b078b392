package config

// rawConfig has the structure of the file. A nil leaf is absent from the file.
// Every other leaf has its position, for errors.
type rawConfig struct {
	Datacenter *text         `yaml:"datacenter"`
	Gateway    *text         `yaml:"gateway"`
	DataDir    *text         `yaml:"dataDir"`
	Witness    *toggle       `yaml:"witness"`
	Prefixes   rawPrefixes   `yaml:"prefixes"`
	Kubernetes rawKubernetes `yaml:"kubernetes"`
	Control    rawControl    `yaml:"control"`
	WireGuard  rawWireGuard  `yaml:"wireguard"`
	Routing    rawRouting    `yaml:"routing"`
	Liveness   rawLiveness   `yaml:"liveness"`
	Raft       rawRaft       `yaml:"raft"`
	Join       rawJoin       `yaml:"join"`
	Services   []rawService  `yaml:"services"`
	rawLocal
}

// rawLocal has keys of the top level: the keys of an embedded struct are at the level
// of the struct that embeds it.
type rawLocal struct {
	Admin   rawAdmin   `yaml:"admin"`
	Metrics rawMetrics `yaml:"metrics"`
	Catalog rawCatalog `yaml:"catalog"`
	Log     rawLog     `yaml:"log"`
}

type rawPrefixes struct {
	Pods     []*text `yaml:"pods"`
	Services []*text `yaml:"services"`
	Nodes    []*text `yaml:"nodes"`
}

type rawKubernetes struct {
	Enabled        *toggle `yaml:"enabled"`
	NodeName       *text   `yaml:"nodeName"`
	Kubeconfig     *text   `yaml:"kubeconfig"`
	PodCIDRs       []*text `yaml:"podCIDRs"`
	ServiceCIDRs   []*text `yaml:"serviceCIDRs"`
	AnnounceNodes  *toggle `yaml:"announceNodes"`
	GatewayLabel   *text   `yaml:"gatewayLabel"`
	IdentitySecret *text   `yaml:"identitySecret"`
}

type rawControl struct {
	Listen    *text   `yaml:"listen"`
	Advertise []*text `yaml:"advertise"`
}

type rawWireGuard struct {
	Dataplane *text     `yaml:"dataplane"`
	Interface *text     `yaml:"interface"`
	Port      *number   `yaml:"port"`
	Advertise []*text   `yaml:"advertise"`
	MTU       *number   `yaml:"mtu"`
	Keepalive *duration `yaml:"keepalive"`
}

type rawRouting struct {
	Table        *number            `yaml:"table"`
	RulePriority *number            `yaml:"rulePriority"`
	Mark         *number            `yaml:"mark"`
	Confine      *toggle            `yaml:"confine"`
	Accept       map[string][]*text `yaml:"accept"`
	Yield        []*text            `yaml:"yield"`
}

type rawLiveness struct {
	Interval   *duration `yaml:"interval"`
	Multiplier *number   `yaml:"multiplier"`
	Port       *number   `yaml:"port"`
}

type rawRaft struct {
	Timers            *text   `yaml:"timers"`
	SnapshotThreshold *number `yaml:"snapshotThreshold"`
	Store             *text   `yaml:"store"`
}

type rawJoin struct {
	TokenFile *text `yaml:"tokenFile"`
}

type rawService struct {
	Name      *text            `yaml:"name"`
	Namespace *text            `yaml:"namespace"`
	Instance  *text            `yaml:"instance"`
	Address   *text            `yaml:"address"`
	Ports     []rawPort        `yaml:"ports"`
	Labels    map[string]*text `yaml:"labels"`
	at        position
}

type rawPort struct {
	Name     *text   `yaml:"name"`
	Protocol *text   `yaml:"protocol"`
	Port     *number `yaml:"port"`
	at       position
}

type rawAdmin struct {
	Socket *text `yaml:"socket"`
}

type rawMetrics struct {
	Listen *text `yaml:"listen"`
}

type rawCatalog struct {
	Listen *text `yaml:"listen"`
	Tokens *text `yaml:"tokens"`
}

type rawLog struct {
	Level  *text `yaml:"level"`
	Format *text `yaml:"format"`
}

// override replaces values by those of the command line.
func (r *rawConfig) override(o Overrides) {
	for _, f := range []struct {
		flag  string
		value string
		into  **text
	}{
		{"--datacenter", o.Datacenter, &r.Datacenter},
		{"--gateway", o.Gateway, &r.Gateway},
		{"--data-dir", o.DataDir, &r.DataDir},
		{"--listen", o.Listen, &r.Control.Listen},
		{"--dataplane", o.Dataplane, &r.WireGuard.Dataplane},
		{"--node-name", o.NodeName, &r.Kubernetes.NodeName},
		{"--token-file", o.TokenFile, &r.Join.TokenFile},
		{"--socket", o.Socket, &r.Admin.Socket},
		{"--metrics-listen", o.MetricsListen, &r.Metrics.Listen},
		{"--log-level", o.LogLevel, &r.Log.Level},
		{"--log-format", o.LogFormat, &r.Log.Format},
	} {
		if f.value != "" {
			*f.into = &text{value: f.value, at: position{file: f.flag}}
		}
	}
}

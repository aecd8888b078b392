//go:build linux

package cluster

import (
	"encoding/json"
	"fmt"
	"net/netip"

	"github.com/meshway/meshway/e2e/kubernetes/images"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

const cniDir = "/run/cni"

// containerdConfig returns a configuration with all state in the node's own /run
// and /var/lib.
func containerdConfig() string {
	return fmt.Sprintf(`version = 3
root = "/var/lib/containerd"
state = "/run/containerd"
imports = []
disabled_plugins = ["io.containerd.nri.v1.nri", "io.containerd.internal.v1.opt"]
[grpc]
  address = %q
[plugins."io.containerd.metadata.v1.bolt"]
  no_sync = true
[plugins."io.containerd.cri.v1.images".pinned_images]
  sandbox = %q
[plugins."io.containerd.cri.v1.runtime"]
  # Lowering the value requires CAP_SYS_RESOURCE.
  restrict_oom_score_adj = true
  [plugins."io.containerd.cri.v1.runtime".cni]
    bin_dirs = ["/usr/lib/cni"]
    conf_dir = %q
  [plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    [plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc.options]
      SystemdCgroup = false
`, runtimeSocket, images.Pause, cniDir)
}

// kubeletConfig returns a configuration without reservations and evictions,
// because the node shares the machine with other nodes.
func kubeletConfig(dns netip.Addr) string {
	return fmt.Sprintf(`apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
authentication:
  anonymous: {enabled: false}
  webhook: {enabled: false}
  x509: {clientCAFile: %s}
authorization: {mode: AlwaysAllow}
cgroupDriver: cgroupfs
cgroupsPerQOS: false
enforceNodeAllocatable: []
failCgroupV1: false
failSwapOn: false
clusterDNS: [%q]
clusterDomain: cluster.local
containerRuntimeEndpoint: unix://%s
evictionHard: {imagefs.available: "0%%", nodefs.available: "0%%", nodefs.inodesFree: "0%%"}
imageGCHighThresholdPercent: 100
localStorageCapacityIsolation: false
podLogsDir: /var/lib/pod-logs
resolvConf: %s/resolv.conf
volumePluginDir: /var/lib/kubelet/volume-plugins
`, caFile, dns, runtimeSocket, configDir)
}

// cniConfig returns a configuration of the bridge plugin, of Debian's package
// containernetworking-plugins.
func (n *Node) cniConfig() []byte {
	type object = map[string]any
	var ranges [][]object
	for _, pods := range n.PodCIDRs {
		ranges = append(ranges, []object{{"subnet": pods.String()}})
	}
	config := object{
		"cniVersion": "1.0.0", "name": "pods",
		"plugins": []object{
			{
				"type": "bridge", "bridge": "cni0", "isDefaultGateway": true, "hairpinMode": true,
				"ipMasq": n.cluster.options.IPMasq,
				"ipam":   object{"type": "host-local", "ranges": ranges},
			},
			{"type": "portmap", "snat": true, "capabilities": object{"portMappings": true}},
		},
	}
	text, err := json.Marshal(config)
	if err != nil {
		panic(err) // the value has only strings, lists and booleans
	}
	return text
}

// kubeconfigOf returns the file with the credentials of a program.
func kubeconfigOf(program string) string { return configDir + "/" + program + ".kubeconfig" }

// writeKubeconfig writes the kubeconfig of a program of the node.
func (n *Node) writeKubeconfig(program string, user credentials) error {
	config := clientcmdapi.NewConfig()
	n.cluster.addTo(config, n.cluster.Name(), user)
	text, err := clientcmd.Write(*config)
	if err != nil {
		return fmt.Errorf("encode kubeconfig: %w", err)
	}
	if err := n.host.WriteFile(caFile, n.cluster.certificates.ca, 0o644); err != nil {
		return err
	}
	return n.host.WriteFile(kubeconfigOf(program), text, 0o600)
}

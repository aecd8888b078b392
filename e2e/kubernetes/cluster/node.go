//go:build linux

package cluster

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/meshway/meshway/e2e/harness"
	"golang.org/x/sys/unix"
)

// Files in the node's own /var/lib and /run.
const (
	configDir     = "/var/lib/kubernetes"
	caFile        = configDir + "/ca.crt"
	runtimeSocket = "/run/containerd/containerd.sock"
)

// Node is a node of a cluster.
type Node struct {
	Name      string
	Addresses []netip.Addr   // on the underlay, in the order of Options.PodCIDRs
	PodCIDRs  []netip.Prefix // those of Node.spec.podCIDRs, unless Options.OwnIPAM is set

	cluster *Cluster
	host    *harness.Host

	mu      sync.Mutex // guards all following fields
	started map[string]program
}

// program is a program that was started on a node.
type program struct {
	name    string
	argv    []string
	process *harness.Process
	stopped bool
}

// Host returns the node's host.
func (n *Node) Host() *harness.Host { return n.host }

// Exec runs a command on the node and returns its standard output and standard
// error, combined.
func (n *Node) Exec(ctx context.Context, argv ...string) (string, error) {
	return n.host.Exec(ctx, argv...)
}

// prepare sets up the node's mounts, control groups and kernel parameters.
func (n *Node) prepare(ctx context.Context) error {
	if err := n.host.Do(mountNode); err != nil {
		return fmt.Errorf("prepare node %s: %w", n.Name, err)
	}
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find own program: %w", err)
	}
	lab := filepath.Base(n.cluster.lab.Dir())
	if _, err := n.host.Exec(ctx, self, roleGroups, lab, n.Name); err != nil {
		return err
	}
	return errors.Join(
		n.host.Forward(),
		// Otherwise answers between pods of the node bypass kube-proxy's rules.
		n.host.Sysctl("net/bridge/bridge-nf-call-iptables", "1"),
		n.host.Sysctl("net/bridge/bridge-nf-call-ip6tables", "1"),
	)
}

// mountNode mounts the node's own /var/log, to which kubelet writes, and makes
// mounts shared within the node, which pods with mount propagation require.
func mountNode() error {
	if err := unix.Mount("tmpfs", "/var/log", "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, ""); err != nil {
		return fmt.Errorf("mount /var/log: %w", err)
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_SHARED, ""); err != nil {
		return fmt.Errorf("share mounts: %w", err)
	}
	return nil
}

// run starts a program of package components in the node's control groups.
func (n *Node) run(name string, args ...string) error {
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find own program: %w", err)
	}
	return n.launch(program{name: name, argv: append([]string{self, roleExec, n.cluster.lab.binaries.Path(name)}, args...)})
}

func (n *Node) launch(p program) error {
	var err error
	if p.process, err = n.host.Start(p.name, p.argv...); err != nil {
		return err
	}
	p.stopped = false
	n.mu.Lock()
	defer n.mu.Unlock()
	n.started[p.name] = p
	return nil
}

// programs returns the programs that were started, sorted by name.
func (n *Node) programs() []program {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.SortedFunc(maps.Values(n.started), func(a, b program) int { return strings.Compare(a.name, b.name) })
}

// Stop kills a program of the node, for example "kubelet", or "kube-apiserver"
// on the first node.
func (n *Node) Stop(name string) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	p, ok := n.started[name]
	if !ok {
		return fmt.Errorf("stop %s on %s: the program was not started", name, n.Name)
	}
	p.process.Kill()
	p.stopped = true
	n.started[name] = p
	return nil
}

// Start starts a program again after Stop. It does not wait until the program is
// ready.
func (n *Node) Start(name string) error {
	for _, p := range n.programs() {
		if p.name == name && p.stopped {
			return n.launch(p)
		}
	}
	return fmt.Errorf("start %s on %s: the program was not stopped", name, n.Name)
}

// checkPrograms returns an error for each program that has exited without Stop.
func (n *Node) checkPrograms() error {
	var errs []error
	for _, p := range n.programs() {
		if p.stopped {
			continue
		}
		select {
		case <-p.process.Done():
			lines := strings.Split(strings.TrimSpace(p.process.Log()), "\n")
			errs = append(errs, fmt.Errorf("%s on %s exited: %w: %s", p.name, n.Name, p.process.Err(), strings.Join(lines[max(0, len(lines)-5):], "\n")))
		default:
		}
	}
	return errors.Join(errs...)
}

// await waits until the condition returns nil. It fails immediately if a program
// of the cluster has exited.
func (c *Cluster) await(ctx context.Context, what string, condition func(context.Context) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	return harness.Wait(ctx, what, func(ctx context.Context) error {
		for _, n := range c.nodes {
			if err := n.checkPrograms(); err != nil {
				cancel(err)
				return err
			}
		}
		return condition(ctx)
	})
}

// startRuntime starts containerd and loads the standard images.
func (n *Node) startRuntime(ctx context.Context) error {
	const config = "/var/lib/containerd.toml"
	err := errors.Join(
		n.host.WriteFile(config, []byte(containerdConfig()), 0o644),
		n.host.WriteFile(cniDir+"/10-pods.conflist", n.cniConfig(), 0o644),
	)
	if err != nil {
		return err
	}
	if err := n.run("containerd", "--config", config); err != nil {
		return err
	}
	err = n.cluster.await(ctx, "containerd answers on "+n.Name, func(ctx context.Context) error {
		return n.host.Do(func() error {
			_, err := os.Stat(runtimeSocket)
			return err
		})
	})
	if err != nil {
		return err
	}
	if err := n.loadImage(ctx, n.cluster.lab.images); err != nil {
		return err
	}
	n.cluster.logProgress("images are loaded on " + n.Name)
	return nil
}

func (n *Node) loadImage(ctx context.Context, archive string) error {
	_, err := n.host.Exec(ctx, n.cluster.lab.binaries.Path("ctr"), "--address", runtimeSocket, "--namespace", "k8s.io",
		"images", "import", "--local", "--discard-unpacked-layers", archive)
	return err
}

// startKubelet starts kubelet and kube-proxy. The API server must be ready.
func (n *Node) startKubelet() error {
	const config = configDir + "/kubelet.yaml"
	err := errors.Join(
		n.writeCredentials(),
		n.host.WriteFile(config, []byte(kubeletConfig(n.cluster.serviceAddress(10)[0])), 0o644),
		n.host.WriteFile(configDir+"/resolv.conf", nil, 0o644), // there is no uplink
	)
	if err != nil {
		return err
	}
	return errors.Join(
		n.run("kubelet", "--config", config, "--kubeconfig", kubeconfigOf(Kubelet), "--hostname-override", n.Name,
			"--node-ip", join(n.Addresses), "--cert-dir", "/var/lib/kubelet/pki"),
		n.run("kube-proxy", "--kubeconfig", kubeconfigOf(KubeProxy), "--hostname-override", n.Name,
			"--proxy-mode", string(n.cluster.options.ProxyMode), "--cluster-cidr", join(n.cluster.options.PodCIDRs),
			"--conntrack-max-per-core", "0"), // not writable in a network namespace
	)
}

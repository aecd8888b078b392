//go:build linux

package cluster

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

const apiPort = 6443

// Cluster is a running cluster.
type Cluster struct {
	lab          *Lab
	options      Options
	nodes        []*Node
	certificates certificates
	rest         *rest.Config
	client       *kubernetes.Clientset
	started      time.Time
	close        func() error // calls shutdown once
}

// New starts a cluster and waits until its nodes are ready and its DNS answers.
// It may be called concurrently for clusters with different names.
func (l *Lab) New(ctx context.Context, options Options) (*Cluster, error) {
	options.ProxyMode = cmp.Or(options.ProxyMode, NFTables)
	if err := options.validate(); err != nil {
		return nil, fmt.Errorf("check options of cluster %s: %w", options.Name, err)
	}
	c := &Cluster{lab: l, options: options, started: time.Now()}
	c.close = sync.OnceValue(c.shutdown)
	if err := c.start(ctx); err != nil {
		logs := c.Logs(10) // Close ends the programs
		return nil, errors.Join(fmt.Errorf("start cluster %s: %w\n%s", options.Name, err, logs), c.Close())
	}
	return c, nil
}

func (c *Cluster) start(ctx context.Context) error {
	if err := c.addNodes(ctx); err != nil {
		return err
	}
	var err error
	c.certificates, err = newCertificates(append(slices.Clone(c.nodes[0].Addresses), c.serviceAddress(1)...))
	if err != nil {
		return err
	}
	if err := c.connect(); err != nil {
		return err
	}
	// The control plane and the nodes' container runtimes do not depend on each other.
	group, groupCtx := errgroup.WithContext(ctx)
	group.Go(func() error { return c.startControlPlane(groupCtx) })
	for _, n := range c.nodes {
		group.Go(func() error { return n.startRuntime(groupCtx) })
	}
	if err := group.Wait(); err != nil {
		return err
	}
	if err := c.deployDNS(ctx); err != nil {
		return err
	}
	return c.awaitReady(ctx)
}

// logProgress prints an event and the time since the start of the cluster.
func (c *Cluster) logProgress(event string) {
	fmt.Fprintf(c.lab.progress, "%-7s %5.1f s  %s\n", c.options.Name, time.Since(c.started).Seconds(), event)
}

// Name returns the name of the cluster and of its context in the kubeconfig.
func (c *Cluster) Name() string { return c.options.Name }

// Options returns the cluster's options.
func (c *Cluster) Options() Options { return c.options }

// Nodes returns the nodes; the first one also runs the control plane.
func (c *Cluster) Nodes() []*Node { return c.nodes }

// REST returns a configuration of client-go for this process. Connections are
// made from the console, and requests are not throttled. The caller may modify
// the returned copy.
func (c *Cluster) REST() *rest.Config { return rest.CopyConfig(c.rest) }

// Client returns a client with the configuration of REST.
func (c *Cluster) Client() kubernetes.Interface { return c.client }

// Kubectl runs kubectl on the console against this cluster.
func (c *Cluster) Kubectl(ctx context.Context, args ...string) (string, error) {
	return c.lab.Exec(ctx, append([]string{"kubectl", "--context", c.Name()}, args...)...)
}

// Apply runs kubectl apply with manifests in YAML.
func (c *Cluster) Apply(ctx context.Context, manifests string) error {
	_, err := c.lab.ExecInput(ctx, manifests, "kubectl", "--context", c.Name(), "apply", "-f", "-")
	return err
}

// LoadImage imports the images of an archive of package images on all nodes.
func (c *Cluster) LoadImage(ctx context.Context, archive string) error {
	var group errgroup.Group
	for _, n := range c.nodes {
		group.Go(func() error { return n.loadImage(ctx, archive) })
	}
	return group.Wait()
}

// serviceAddress returns the n-th service address of each address family.
func (c *Cluster) serviceAddress(n int) []netip.Addr {
	var addresses []netip.Addr
	for _, network := range c.options.ServiceCIDRs {
		addresses = append(addresses, nth(network, n))
	}
	return addresses
}

// server returns the URL of the API server.
func (c *Cluster) server() string {
	return "https://" + netip.AddrPortFrom(c.nodes[0].Addresses[0], apiPort).String()
}

// connect creates the clients and adds the cluster to the lab's kubeconfig.
func (c *Cluster) connect() error {
	c.rest = &rest.Config{
		Host: c.server(), QPS: -1,
		TLSClientConfig: rest.TLSClientConfig{CAData: c.certificates.ca, CertData: c.certificates.admin.certificate, KeyData: c.certificates.admin.key},
		Dial:            c.lab.console.DialContext,
	}
	var err error
	if c.client, err = kubernetes.NewForConfig(c.rest); err != nil {
		return fmt.Errorf("create client: %w", err)
	}
	l := c.lab
	l.mu.Lock()
	defer l.mu.Unlock()
	l.clusters = append(l.clusters, c)
	c.addTo(l.kubeconfig, c.Name(), c.certificates.admin)
	return l.writeKubeconfig()
}

// addTo adds the cluster to a kubeconfig.
func (c *Cluster) addTo(config *clientcmdapi.Config, name string, user credentials) {
	config.Clusters[name] = &clientcmdapi.Cluster{Server: c.server(), CertificateAuthorityData: c.certificates.ca}
	config.AuthInfos[name] = &clientcmdapi.AuthInfo{ClientCertificateData: user.certificate, ClientKeyData: user.key}
	config.Contexts[name] = &clientcmdapi.Context{Cluster: name, AuthInfo: name}
	config.CurrentContext = cmp.Or(config.CurrentContext, name)
}

// Close stops the cluster and all its programs. Further calls do nothing and
// return the same error.
func (c *Cluster) Close() error { return c.close() }

func (c *Cluster) shutdown() error {
	l := c.lab
	l.mu.Lock()
	l.clusters = slices.DeleteFunc(l.clusters, func(other *Cluster) bool { return other == c })
	delete(l.kubeconfig.Clusters, c.Name())
	delete(l.kubeconfig.AuthInfos, c.Name())
	delete(l.kubeconfig.Contexts, c.Name())
	errs := []error{l.writeKubeconfig()}
	l.mu.Unlock()
	for _, n := range c.nodes {
		errs = append(errs, n.host.Close(), removeGroups(filepath.Join(filepath.Base(l.Dir()), n.Name)))
	}
	errs = append(errs, c.removeNetwork())
	return errors.Join(errs...)
}

// Logs returns the last lines of the output of each program on the cluster's
// nodes.
func (c *Cluster) Logs(lines int) string {
	var text strings.Builder
	for _, n := range c.nodes {
		for _, p := range n.programs() {
			all := strings.Split(strings.TrimSpace(p.process.Log()), "\n")
			fmt.Fprintf(&text, "==> %s %s\n%s\n", n.Name, p.name, strings.Join(all[max(0, len(all)-lines):], "\n"))
		}
	}
	return text.String()
}

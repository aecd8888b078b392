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
	close        func() error // once
}

// New brings up a cluster and waits until its nodes are ready and its DNS
// answers. Clusters of one lab may be brought up at the same time.
func (l *Lab) New(ctx context.Context, options Options) (*Cluster, error) {
	options.ProxyMode = cmp.Or(options.ProxyMode, NFTables)
	if err := options.validate(); err != nil {
		return nil, fmt.Errorf("check options of cluster %s: %w", options.Name, err)
	}
	c := &Cluster{lab: l, options: options, started: time.Now()}
	c.close = sync.OnceValue(c.shutdown)
	if err := c.start(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("start cluster %s: %w", options.Name, err), c.Close())
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
	// The control plane and the nodes' container runtimes need nothing of each other.
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

// logProgress tells on the lab's progress what happened, and when.
func (c *Cluster) logProgress(what string) {
	fmt.Fprintf(c.lab.progress, "%-7s %5.1f s  %s\n", c.options.Name, time.Since(c.started).Seconds(), what)
}

// Name is the cluster's name, and that of its context in the kubeconfig.
func (c *Cluster) Name() string { return c.options.Name }

// Options are what the cluster was made from.
func (c *Cluster) Options() Options { return c.options }

// Nodes are the nodes; the first one has the control plane too.
func (c *Cluster) Nodes() []*Node { return c.nodes }

// REST is for client-go in this process: it dials inside of the cluster's
// network, and does not throttle. Callers may change the copy that they get.
func (c *Cluster) REST() *rest.Config { return rest.CopyConfig(c.rest) }

// Client is client-go's, made from REST.
func (c *Cluster) Client() kubernetes.Interface { return c.client }

// Kubectl runs kubectl on the console against this cluster.
func (c *Cluster) Kubectl(ctx context.Context, args ...string) (string, error) {
	return c.lab.Exec(ctx, append([]string{"kubectl", "--context", c.Name()}, args...)...)
}

// Apply gives manifests, in YAML, to kubectl apply.
func (c *Cluster) Apply(ctx context.Context, manifests string) error {
	_, err := c.lab.ExecInput(ctx, manifests, "kubectl", "--context", c.Name(), "apply", "-f", "-")
	return err
}

// LoadImage gives the images of an archive, as package images writes it, to all nodes.
func (c *Cluster) LoadImage(ctx context.Context, archive string) error {
	var group errgroup.Group
	for _, n := range c.nodes {
		group.Go(func() error { return n.loadImage(ctx, archive) })
	}
	return group.Wait()
}

// serviceAddress is the n-th address of services, in each address family.
func (c *Cluster) serviceAddress(n int) []netip.Addr {
	var addresses []netip.Addr
	for _, network := range c.options.ServiceCIDRs {
		addresses = append(addresses, nth(network, n))
	}
	return addresses
}

// server is the URL of the API server.
func (c *Cluster) server() string {
	return "https://" + netip.AddrPortFrom(c.nodes[0].Addresses[0], apiPort).String()
}

// connect makes the clients, and the cluster's context in the lab's kubeconfig.
func (c *Cluster) connect() error {
	c.rest = &rest.Config{
		Host: c.server(), QPS: -1,
		TLSClientConfig: rest.TLSClientConfig{CAData: c.certificates.ca, CertData: c.certificates.admin, KeyData: c.certificates.adminKey},
		Dial:            c.lab.console.DialContext,
	}
	var err error
	if c.client, err = kubernetes.NewForConfig(c.rest); err != nil {
		return fmt.Errorf("make client: %w", err)
	}
	l := c.lab
	l.mu.Lock()
	defer l.mu.Unlock()
	l.clusters = append(l.clusters, c)
	c.addTo(l.kubeconfig, c.Name())
	return l.writeKubeconfig()
}

// addTo adds the cluster to a kubeconfig.
func (c *Cluster) addTo(config *clientcmdapi.Config, name string) {
	config.Clusters[name] = &clientcmdapi.Cluster{Server: c.server(), CertificateAuthorityData: c.certificates.ca}
	config.AuthInfos[name] = &clientcmdapi.AuthInfo{ClientCertificateData: c.certificates.admin, ClientKeyData: c.certificates.adminKey}
	config.Contexts[name] = &clientcmdapi.Context{Cluster: name, AuthInfo: name}
	config.CurrentContext = cmp.Or(config.CurrentContext, name)
}

// Close ends the cluster with everything that runs in it; again, it does nothing.
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

// Logs are the last lines of everything that runs on the cluster's nodes, for a
// test that failed.
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

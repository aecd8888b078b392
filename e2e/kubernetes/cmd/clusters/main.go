//go:build linux

// Command clusters starts real Kubernetes clusters on this machine, optionally
// with Meshway installed and federated, and keeps them until it is interrupted:
//
//	go run ./cmd/clusters up --clusters 2 --nodes 2 --meshway
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"time"

	"github.com/meshway/meshway/e2e/kubernetes/cluster"
	"github.com/meshway/meshway/e2e/kubernetes/install"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
)

func main() {
	cluster.Main()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, unix.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "clusters:", err)
		os.Exit(1)
	}
}

// settings holds the command line's flags.
type settings struct {
	clusters, nodes int
	keep            bool
	dualStack       bool
	ipMasq          bool
	separateLinks   bool
	proxyMode       string
	meshway         bool
}

func parse(args []string) (settings, error) {
	var s settings
	flags := flag.NewFlagSet("clusters up", flag.ContinueOnError)
	flags.IntVar(&s.clusters, "clusters", 2, "number of clusters")
	flags.IntVar(&s.nodes, "nodes", 2, "number of nodes per cluster")
	flags.BoolVar(&s.keep, "keep", true, "keep the clusters until Ctrl-C; if false, remove them once they are ready")
	flags.BoolVar(&s.dualStack, "dual-stack", false, "use IPv4 and IPv6")
	flags.BoolVar(&s.ipMasq, "ip-masq", false, "masquerade packets of pods to other networks")
	flags.BoolVar(&s.separateLinks, "separate-links", false, "connect each node to the router with a link of its own")
	flags.StringVar(&s.proxyMode, "proxy-mode", string(cluster.NFTables), "mode of kube-proxy: nftables or iptables")
	flags.BoolVar(&s.meshway, "meshway", false, "install and federate Meshway, as described in the README")
	if len(args) == 0 || args[0] != "up" {
		return s, errors.New("usage: clusters up [flags]; run clusters up --help for the flags")
	}
	if err := flags.Parse(args[1:]); err != nil {
		return s, err
	}
	if s.clusters < 1 || s.clusters > cluster.MaxNumbered {
		return s, fmt.Errorf("--clusters %d: use 1 to %d", s.clusters, cluster.MaxNumbered)
	}
	return s, nil
}

func run(ctx context.Context, args []string, out io.Writer) (err error) {
	s, err := parse(args)
	if errors.Is(err, flag.ErrHelp) {
		return nil
	}
	if err != nil {
		return err
	}
	lab, err := cluster.NewLab(ctx, "", out)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lab.Close()) }()
	started := time.Now()
	if err := start(ctx, lab, s, progress{out}); err != nil {
		if ctx.Err() != nil {
			return nil // interrupted by the user
		}
		return err
	}
	fmt.Fprintf(out, "started %d clusters of %d nodes in %.1f s\n", s.clusters, s.nodes, time.Since(started).Seconds())
	if !s.keep {
		return nil
	}
	printUsage(lab, s, out)
	<-ctx.Done()
	return nil
}

func start(ctx context.Context, lab *cluster.Lab, s settings, p progress) error {
	if s.meshway {
		return federate(ctx, lab, s.options(), p)
	}
	group, ctx := errgroup.WithContext(ctx)
	for _, options := range s.options() {
		group.Go(func() error {
			return p.step(ctx, "start cluster "+options.Name, func(ctx context.Context) error {
				_, err := lab.New(ctx, options)
				return err
			})
		})
	}
	return group.Wait()
}

// progress prints the steps, which take minutes on a small machine.
type progress struct{ out io.Writer }

// step runs a step, and prints its name before and how long it took afterwards.
func (p progress) step(ctx context.Context, name string, run func(context.Context) error) error {
	fmt.Fprintf(p.out, "%s …\n", name)
	started := time.Now()
	err := run(ctx)
	if err == nil {
		fmt.Fprintf(p.out, "%s: done in %.1f s\n", name, time.Since(started).Seconds())
	}
	return err
}

func (s settings) options() []cluster.Options {
	list := make([]cluster.Options, s.clusters)
	for i := range list {
		list[i] = cluster.Numbered(i)
		list[i].Nodes, list[i].IPMasq, list[i].SeparateLinks = s.nodes, s.ipMasq, s.separateLinks
		list[i].ProxyMode = cluster.ProxyMode(s.proxyMode)
		if s.dualStack {
			list[i] = list[i].DualStack(i)
		}
	}
	return list
}

// federate starts clusters and performs the steps of the README's section about
// Kubernetes.
func federate(ctx context.Context, lab *cluster.Lab, options []cluster.Options, p progress) error {
	var f *install.Federation
	err := p.step(ctx, fmt.Sprintf("start %d clusters", len(options)), func(ctx context.Context) error {
		var err error
		f, err = install.Clusters(ctx, lab, lab.Programs(), options...)
		return err
	})
	if err != nil {
		return err
	}
	for _, s := range []struct {
		name string
		run  func(context.Context) error
	}{
		{"install and federate Meshway", f.Install},
		{"enable DNS", f.EnableDNS},
		{"create the service shop/web", f.CreateShop},
		{"export it", f.Export},
		{"wait until the last cluster reaches it", func(ctx context.Context) error {
			return f.AwaitShop(ctx, f.Clusters[len(f.Clusters)-1])
		}},
	} {
		if err := p.step(ctx, s.name, s.run); err != nil {
			return err
		}
	}
	return nil
}

// printUsage prints commands that use the clusters.
func printUsage(lab *cluster.Lab, s settings, out io.Writer) {
	enter, first := lab.EnterScript(), cluster.Numbered(0).Name
	fmt.Fprintf(out, "\nIn another terminal, as root:\n\n")
	fmt.Fprintf(out, "  %s kubectl --context %s get nodes -o wide\n", enter, first)
	if s.meshway {
		last := cluster.Numbered(s.clusters - 1).Name
		fmt.Fprintf(out, "  %s kubectl --context %s get datacenters\n", enter, first)
		fmt.Fprintf(out, "  %s meshctl --context %s status\n", enter, last)
		fmt.Fprintf(out, "  %s kubectl --context %s -n shop get serviceimports,endpointslices\n", enter, last)
		fmt.Fprintf(out, "  %s kubectl --context %s -n shop exec client -- curl -sS %s\n", enter, last, install.ShopURL)
	}
	fmt.Fprintf(out, "  %s               a shell with kubectl, helm, meshctl and KUBECONFIG\n", enter)
	fmt.Fprintf(out, "\nContexts:")
	for i := range s.clusters {
		fmt.Fprintf(out, " %s", cluster.Numbered(i).Name)
	}
	fmt.Fprintf(out, "\nLogs of each program: %s/%s-1/*.log\nCtrl-C removes the clusters.\n", lab.Dir(), first)
}

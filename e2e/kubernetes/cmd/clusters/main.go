//go:build linux

// Command clusters brings up real Kubernetes clusters on this machine and holds
// them until it is interrupted, empty or with Meshway installed and federated:
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

// settings are the command line.
type settings struct {
	clusters, nodes int
	keep            bool
	dualStack       bool
	ipMasq          bool
	apart           bool
	proxyMode       string
	meshway         bool
}

func parse(args []string) (settings, error) {
	var s settings
	flags := flag.NewFlagSet("clusters up", flag.ContinueOnError)
	flags.IntVar(&s.clusters, "clusters", 2, "how many clusters")
	flags.IntVar(&s.nodes, "nodes", 2, "how many nodes in each")
	flags.BoolVar(&s.keep, "keep", true, "hold them until Ctrl-C; false: only try")
	flags.BoolVar(&s.dualStack, "dual-stack", false, "IPv6 too")
	flags.BoolVar(&s.ipMasq, "ip-masq", false, "the CNI masquerades what leaves a node's pods")
	flags.BoolVar(&s.apart, "apart", false, "nodes of a cluster are no neighbours")
	flags.StringVar(&s.proxyMode, "proxy-mode", string(cluster.NFTables), "of kube-proxy: nftables or iptables")
	flags.BoolVar(&s.meshway, "meshway", false, "install and federate Meshway, as the README does")
	if len(args) == 0 || args[0] != "up" {
		return s, errors.New("usage: clusters up [flags]; clusters up --help lists them")
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
	begun := time.Now()
	if err := bringUp(ctx, lab, s); err != nil {
		if ctx.Err() != nil {
			return nil // interrupted: that was wanted
		}
		return err
	}
	fmt.Fprintf(out, "%d clusters of %d nodes in %.1f s\n", s.clusters, s.nodes, time.Since(begun).Seconds())
	if !s.keep {
		return nil
	}
	hold(ctx, lab, s, out)
	return nil
}

func bringUp(ctx context.Context, lab *cluster.Lab, s settings) error {
	if s.meshway {
		return federate(ctx, lab, s.options())
	}
	group, ctx := errgroup.WithContext(ctx)
	for _, options := range s.options() {
		group.Go(func() error {
			_, err := lab.New(ctx, options)
			return err
		})
	}
	return group.Wait()
}

func (s settings) options() []cluster.Options {
	list := make([]cluster.Options, s.clusters)
	for i := range list {
		list[i] = cluster.Numbered(i)
		list[i].Nodes, list[i].IPMasq, list[i].SeparateLinks = s.nodes, s.ipMasq, s.apart
		list[i].ProxyMode = cluster.ProxyMode(s.proxyMode)
		if s.dualStack {
			list[i] = list[i].DualStack(i)
		}
	}
	return list
}

// federate does what the README's section about Kubernetes does.
func federate(ctx context.Context, lab *cluster.Lab, options []cluster.Options) error {
	f, err := install.Clusters(ctx, lab, lab.Programs(), options...)
	if err != nil {
		return err
	}
	for _, step := range []func(context.Context) error{f.Install, f.EnableDNS, f.CreateShop, f.Export} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return f.AwaitShop(ctx, f.Clusters[len(f.Clusters)-1])
}

// hold tells how to use the clusters, and waits.
func hold(ctx context.Context, lab *cluster.Lab, s settings, out io.Writer) {
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
	fmt.Fprintf(out, "\nLogs of each program: %s/%s-1/*.log\nCtrl-C ends and removes all of it.\n", lab.Dir(), first)
	<-ctx.Done()
}

//go:build linux

package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"sync"

	"github.com/meshway/meshway/e2e/harness"
	"github.com/meshway/meshway/e2e/kubernetes/components"
	"github.com/meshway/meshway/e2e/kubernetes/images"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

const linkMTU = 1500

// Lab is a set of clusters with a router between them and a console that
// reaches all API servers. The kernel removes all of it when the process that
// created the lab exits.
type Lab struct {
	hosts    *harness.Lab
	binaries components.Binaries
	images   string // the archive that every node loads
	progress io.Writer
	router   *harness.Host
	console  *harness.Host

	mu         sync.Mutex // guards all following fields
	clusters   []*Cluster
	kubeconfig *clientcmdapi.Config
}

// NewLab builds the programs that are missing in the user's cache, which takes
// long the first time, creates the standard images, and starts the router and
// the console. The lab's files are in a directory of its own below base; an
// empty base means the system's directory for temporary files. A nil progress
// discards progress messages.
func NewLab(ctx context.Context, base string, progress io.Writer) (*Lab, error) {
	if progress == nil {
		progress = io.Discard
	}
	if err := sweep(base, progress); err != nil {
		return nil, err
	}
	hosts, err := harness.NewLab(base, nil)
	if err != nil {
		return nil, err
	}
	l := &Lab{hosts: hosts, progress: progress, kubeconfig: clientcmdapi.NewConfig()}
	if err := l.prepare(ctx); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

// sweep removes the directories and control groups of labs whose process was
// killed.
func sweep(base string, progress io.Writer) error {
	removed, err := harness.Sweep(base)
	for _, dir := range removed {
		fmt.Fprintf(progress, "removed the lab of an earlier run: %s\n", dir)
		err = errors.Join(err, removeGroups(filepath.Base(dir)))
	}
	return err
}

func (l *Lab) prepare(ctx context.Context) error {
	var err error
	if l.binaries, err = components.Build(ctx, l.progress); err != nil {
		return err
	}
	standard, err := images.Standard(ctx, l.Dir(), l.binaries.Path("coredns"))
	if err != nil {
		return err
	}
	l.images = filepath.Join(l.Dir(), "images.tar")
	if err := images.WriteFile(l.images, standard...); err != nil {
		return err
	}
	if err := l.addRouter(ctx); err != nil {
		return err
	}
	return errors.Join(l.writeScripts(), l.writeKubeconfig())
}

// addRouter starts the router and the console, and links them.
func (l *Lab) addRouter(ctx context.Context) error {
	var err error
	if l.router, err = l.hosts.Host(ctx, "router"); err != nil {
		return err
	}
	if l.console, err = l.hosts.Host(ctx, "console"); err != nil {
		return err
	}
	networks := []netip.Prefix{netip.MustParsePrefix("192.0.2.0/30"), netip.MustParsePrefix("2001:db8:ffff::/64")}
	return errors.Join(
		l.router.Forward(),
		l.hosts.Link(linkEnd(l.router, networks, 1), linkEnd(l.console, networks, 2), linkMTU),
		defaultRoutes(l.console, networks),
	)
}

// linkEnd returns the end of a link at a host, with the n-th address of each
// network.
func linkEnd(host *harness.Host, networks []netip.Prefix, n int) harness.End {
	e := harness.End{Host: host}
	for _, network := range networks {
		e.Addresses = append(e.Addresses, netip.PrefixFrom(nth(network, n), network.Bits()))
	}
	return e
}

// defaultRoutes adds default routes to the router, which has the first address
// of each network.
func defaultRoutes(host *harness.Host, networks []netip.Prefix) error {
	var errs []error
	for _, network := range networks {
		prefix := netip.PrefixFrom(netip.IPv4Unspecified(), 0)
		if network.Addr().Is6() {
			prefix = netip.PrefixFrom(netip.IPv6Unspecified(), 0)
		}
		errs = append(errs, host.Route(prefix, nth(network, 1)))
	}
	return errors.Join(errs...)
}

// Dir returns the directory of the lab's files. It has a subdirectory for each
// node with the logs of its programs.
func (l *Lab) Dir() string { return l.hosts.Dir() }

// Router returns the host between all nodes. It has routes to the underlay only
// and drops unencrypted packets between pods of different clusters.
func (l *Lab) Router() *harness.Host { return l.router }

// Programs returns a directory in the path of the console, for further programs
// such as meshctl. It is initially empty.
func (l *Lab) Programs() string { return filepath.Join(l.Dir(), "bin") }

// Kubeconfig returns a kubeconfig file with a context for each cluster, named
// after it. Only the console and nodes can reach its servers.
func (l *Lab) Kubeconfig() string { return filepath.Join(l.Dir(), "kubeconfig") }

func (l *Lab) writeKubeconfig() error {
	if err := clientcmd.WriteToFile(*l.kubeconfig, l.Kubeconfig()); err != nil {
		return fmt.Errorf("write kubeconfig: %w", err)
	}
	return nil
}

// Exec runs a command on the console with the lab's kubeconfig and with the
// lab's programs in the path, for example "kubectl", "--context", "east", "get",
// "nodes". It returns standard output and standard error, combined.
func (l *Lab) Exec(ctx context.Context, argv ...string) (string, error) {
	return l.ExecInput(ctx, "", argv...)
}

// ExecInput is like Exec with input as the command's standard input.
func (l *Lab) ExecInput(ctx context.Context, input string, argv ...string) (string, error) {
	return l.console.ExecInput(ctx, input, append([]string{l.environmentScript()}, argv...)...)
}

func (l *Lab) environmentScript() string { return filepath.Join(l.Dir(), "env") }

// EnterScript returns the file of a script that runs a command on the console as
// Exec does, or a shell.
func (l *Lab) EnterScript() string { return filepath.Join(l.Dir(), "enter") }

func (l *Lab) writeScripts() error {
	environment := fmt.Sprintf("#!/bin/sh\n# Runs a command with the lab's programs and kubeconfig.\n"+
		"export KUBECONFIG=%s PATH=%s:%s:\"$PATH\"\nexec \"$@\"\n", l.Kubeconfig(), l.Programs(), l.binaries.Dir)
	enter := fmt.Sprintf("#!/bin/sh\n# Runs a command, or a shell, on the console, which reaches all clusters.\n"+
		"exec nsenter -t %d -n -u %s \"${@:-sh}\"\n", l.console.PID(), l.environmentScript())
	err := errors.Join(
		os.Mkdir(l.Programs(), 0o755),
		os.WriteFile(l.environmentScript(), []byte(environment), 0o755),
		os.WriteFile(l.EnterScript(), []byte(enter), 0o755),
	)
	if err != nil {
		return fmt.Errorf("write scripts: %w", err)
	}
	return nil
}

// Close stops all clusters and removes the lab's directory.
func (l *Lab) Close() error {
	err := l.hosts.Close()
	return errors.Join(err, removeGroups(filepath.Base(l.Dir())))
}

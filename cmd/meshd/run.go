package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/meshway/meshway/agent/admin"
	"github.com/meshway/meshway/agent/build"
	"github.com/meshway/meshway/agent/config"
	"github.com/meshway/meshway/agent/control"
	"github.com/meshway/meshway/agent/control/sockets"
	"github.com/meshway/meshway/agent/dataplane"
	"github.com/meshway/meshway/agent/host"
	"github.com/meshway/meshway/agent/identity"
	"github.com/meshway/meshway/agent/liveness"
	"github.com/meshway/meshway/agent/member"
	"github.com/meshway/meshway/agent/membership"
	"github.com/meshway/meshway/agent/pathmtu"
	"github.com/meshway/meshway/agent/plaintext"
	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/agent/problemlog"
	"github.com/meshway/meshway/agent/registrar"
	"github.com/meshway/meshway/agent/requirement"
	"github.com/meshway/meshway/agent/state"
	"github.com/meshway/meshway/agent/status"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/routes/kernel"
)

func runCommand() *cobra.Command {
	var flags configFlags
	cmd := &cobra.Command{
		Use:   "run --config FILE",
		Short: "Run the agent of this host",
		Long: `run maintains the tunnels, routes and firewall of this gateway, and its part of
the catalog. Without a federation it waits for meshctl init or meshctl join.

SIGTERM and Ctrl-C stop the agent and do not change the data plane, so that
traffic continues. meshctl leave removes the datacenter from its federation, and
keeps dropping packets to the others until it is released; meshd uninstall
removes everything from this host.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if os.Geteuid() != 0 {
				return errors.New("meshd run needs root: it creates interfaces, routes and firewall rules; run it as root or as a system service")
			}
			var name hostName
			cfg, err := flags.load(&name)
			if err != nil {
				return err
			}
			log, err := newLogger(cmd.ErrOrStderr(), cfg.Log)
			if err != nil {
				return err
			}
			return run(cmd.Context(), cfg, name, log)
		},
	}
	flags.register(cmd)
	return cmd
}

// load reads the configuration; the default file only if it exists.
func (f *configFlags) load(name *hostName) (config.Config, error) {
	file := f.file
	if file == "" {
		if _, err := os.Stat(DefaultConfigFile); err == nil {
			file = DefaultConfigFile
		}
	}
	return config.Load(file, f.overrides, name.gateway)
}

// daemon is what every part of meshd is constructed from.
type daemon struct {
	cfg   config.Config
	store *identity.Store
	log   *slog.Logger
}

// run constructs the adapters and runs everything that is long-lived. Until the
// agent itself runs, nothing of the host is changed except the data directory, and
// the firewall after a boot: no packet to another datacenter leaves unencrypted
// while the agent waits for the catalog or the cluster.
func run(ctx context.Context, cfg config.Config, name hostName, log *slog.Logger) error {
	saveMemory()
	store, unlock, err := openLocked(cfg.DataDir)
	if err != nil {
		return err
	}
	defer unlock()
	log.Info("meshd starts", "version", build.Current().Version, "datacenter", cfg.Datacenter, "gateway", cfg.Gateway, "dataDir", cfg.DataDir)
	if p := name.renamed; p != nil {
		problemlog.Write(log, slog.LevelWarn, *p)
	}
	if err := lastFirewall(cfg.DataDir).Restore(ctx); err != nil {
		log.Error("failed to guard the prefixes of other datacenters until the agent has planned", "err", err)
	}
	d := daemon{cfg: cfg, store: store, log: log}
	if cfg.Kubernetes.Enabled {
		err = d.runInCluster(ctx)
	} else {
		err = d.runGateway(ctx, environment{site: dataplane.StaticSite(cfg.Prefixes), problems: name.problems})
	}
	log.Info("meshd ends", "err", err)
	return err
}

// saveMemory starts a garbage collection when the heap has grown by half instead
// of to the double: an agent with thousands of services needs 10 to 20 MiB less,
// at a negligible cost in processor time.
func saveMemory() {
	const percent = 50
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(percent)
	}
}

// environment is what runGateway uses in addition to the host.
type environment struct {
	site      dataplane.Site
	siblings  membership.Siblings // nil: this is the only gateway of its datacenter
	apiServer func() []netip.Addr // addresses of that of the own cluster; nil: there is none
	// alongside runs as long as the agent; nil: nothing does.
	alongside func(ctx context.Context, a *membership.Agent) error
	// problems returns the problems of the environment; nil: there are none.
	problems func() []plan.Problem
	// services returns the state of multi-cluster services; nil: there is no cluster.
	services func() *status.MultiCluster
}

// observed returns what is observed outside of the federation.
func (e environment) observed() membership.Environment {
	var observed membership.Environment
	if e.problems != nil {
		observed.Problems = e.problems()
	}
	if e.services != nil {
		observed.MultiCluster = e.services()
	}
	return observed
}

// runGateway takes part in a federation until ctx ends.
func (d daemon) runGateway(ctx context.Context, env environment) error {
	metrics := newMetrics(d.cfg.Metrics.Listen, d.log)
	programs := newPrograms(d.cfg.Catalog, d.log)
	routing := newRoutes(d.cfg)
	data, err := newDataplane(ctx, d.cfg, routing, d.log)
	if err != nil {
		return err
	}
	lacks := requirement.NewWatch(plan.GatewaySubject(d.cfg.GatewayID()), data.Requirements, d.log)
	env.problems = withProblems(programs.problems(metrics.problems(env.problems)), lacks.Problems)
	registrations := openRegistrations(d.cfg.DataDir)
	a, err := d.newAgent(data, routing, registrations, env)
	if err != nil {
		return err
	}
	catalog := newCatalog(ctx, d.cfg.Datacenter, a)
	server := admin.NewServer(admin.Config{
		Socket: d.cfg.Admin.Socket, Handler: admin.Handler{Agent: a}, Sentinels: member.Sentinels(), Log: d.log,
		Also: catalog,
	})
	if err := server.Listen(ctx); err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return a.Run(ctx) })
	group.Go(func() error { lacks.Run(ctx); return nil })
	group.Go(func() error { return server.Run(ctx) })
	group.Go(func() error { return metrics.serve(ctx, metricsOf(a.Status)) })
	group.Go(func() error { return programs.serve(ctx, catalog) })
	group.Go(func() error { d.watch(ctx, a.Status); return nil })
	if env.alongside != nil {
		group.Go(func() error { return env.alongside(ctx, a) })
	}
	err = group.Wait()
	if err := registrations.Close(); err != nil {
		d.log.Warn("failed to keep registrations in the file of earlier versions, which refuse to start; they are safe for this one", "err", err)
	}
	return err
}

// watch ends the process if the agent hangs, so that the supervisor of the host starts
// it again. What hangs may not end with ctx. At SIGABRT the runtime of Go writes the stacks
// of all goroutines, which show the cause.
func (d daemon) watch(ctx context.Context, snapshot func() status.Snapshot) {
	if err := status.Watchdog(ctx, snapshot); err != nil {
		d.log.Error("meshd ends, to be started again; the stacks of its goroutines follow", "err", err)
		_ = syscall.Kill(syscall.Getpid(), syscall.SIGABRT) // permitted for the own process
	}
}

// openRegistrations returns the store of what programs have registered here.
func openRegistrations(dataDir string) *state.Journal[catalog.ServiceKey, catalog.Service] {
	return &state.Journal[catalog.ServiceKey, catalog.Service]{
		Path:   filepath.Join(dataDir, "services.journal"),
		Former: filepath.Join(dataDir, "services.json"),
		What:   "registrations",
		Remedy: "restore services.journal and services.json, or move both away and register the services again",
		Key:    func(s catalog.Service) catalog.ServiceKey { return s.ServiceKey },
	}
}

// withProblems returns a function that returns the problems of both; others may be nil.
func withProblems(others, own func() []plan.Problem) func() []plan.Problem {
	if others == nil {
		return own
	}
	return func() []plan.Problem { return slices.Concat(others(), own()) }
}

func (d daemon) newAgent(data dataplane.Kernel, routing *kernel.Kernel, registrations registrar.Store, env environment) (*membership.Agent, error) {
	cfg, log := d.cfg, d.log
	key, err := d.store.WireGuardKey()
	if err != nil {
		return nil, err
	}
	return membership.New(membership.Config{
		File:     cfg,
		Key:      key,
		Identity: d.store,
		Sockets: func(overlay func() netip.Prefix) control.Sockets {
			return &sockets.Sockets{Mark: cfg.Routing.Mark, Overlay: overlay}
		},
		Kernel: data,
		NewLiveness: func() dataplane.Liveness {
			monitor := liveness.New(liveness.Config{
				Port:       cfg.Liveness.Port,
				Interval:   cfg.Liveness.Interval,
				Multiplier: cfg.Liveness.Multiplier,
				Network:    liveness.UDP{},
				Log:        log,
			})
			return dataplane.Liveness{Prober: monitor, ReceivedCounters: monitor, LocalSessions: monitor}
		},
		NewPathMTU: func() dataplane.PathMTU { return pathmtu.New(liveness.UDP{}, log) },
		Host: host.Host{
			TunnelPrefix: cfg.WireGuard.Interface,
			Mark:         cfg.Routing.Mark,
			Prefixes:     func() []catalog.Prefix { return env.site.Current().Prefixes },
			Routes:       routing.HostRoutes,
			PolicyRoutes: routing.PolicyRoutes,
			Before:       routing.SysctlBefore,
			APIServer:    env.apiServer,
		},
		Site:     env.site,
		Siblings: env.siblings,
		Services: registrations,
		DrainStore: state.File[dataplane.StoredDrain]{
			Path:   filepath.Join(cfg.DataDir, "drain.json"),
			What:   "drain",
			Remedy: "remove the file to take the gateway back into use",
		},
		Environment: env.observed,
		Token:       tokenOf(cfg.Join.TokenFile),
		Log:         log,
	}), nil
}

// tokenOf returns a function that reads the token file at each call: a Secret may
// be created after the agent has started, and its token may change.
func tokenOf(file string) func() (string, error) {
	if file == "" {
		return nil
	}
	return func() (string, error) {
		text, err := os.ReadFile(file)
		if err != nil {
			return "", err
		}
		if text, err = plaintext.Decode(text); err != nil {
			return "", fmt.Errorf("%s: %w", file, err)
		}
		token := strings.TrimSpace(string(text))
		if token == "" {
			return "", fmt.Errorf("%s is empty", file)
		}
		return token, nil
	}
}

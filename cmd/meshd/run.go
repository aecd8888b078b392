package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"time"

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
	"github.com/meshway/meshway/agent/membership"
	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/agent/state"
	"github.com/meshway/meshway/agent/status"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/routes"
)

// metricsGrace is what a scrape that is being answered gets when meshd stops.
const metricsGrace = time.Second

func runCommand() *cobra.Command {
	var flags configFlags
	cmd := &cobra.Command{
		Use:   "run --config FILE",
		Short: "run the agent of this gateway",
		Long: `run keeps this gateway in its federation: tunnels, routes, firewall and its part
of the catalog. Without a federation it waits for meshctl init or meshctl join.

SIGTERM and Ctrl-C stop the agent and leave the data plane: traffic goes on.
meshctl leave takes the datacenter out of its federation; meshd uninstall
removes everything from this host.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if os.Geteuid() != 0 {
				return errors.New("meshd run needs root: it makes interfaces, routes and firewall rules; run it as root or as the system's service")
			}
			cfg, err := flags.load()
			if err != nil {
				return err
			}
			log, err := newLogger(cmd.ErrOrStderr(), cfg.Log)
			if err != nil {
				return err
			}
			return run(cmd.Context(), cfg, log)
		},
	}
	flags.register(cmd)
	return cmd
}

// load reads the configuration; the default file only if it exists.
func (f *configFlags) load() (config.Config, error) {
	file := f.file
	if file == "" {
		if _, err := os.Stat(DefaultConfigFile); err == nil {
			file = DefaultConfigFile
		}
	}
	return config.Load(file, f.overrides)
}

// run constructs the adapters and runs everything that is long-lived. Up to
// the agent's own Run nothing of the host has been changed but the data directory.
func run(ctx context.Context, cfg config.Config, log *slog.Logger) error {
	saveMemory()
	store, err := identity.Open(cfg.DataDir)
	if err != nil {
		return err
	}
	defer store.Close()
	unlock, err := lock(cfg.DataDir)
	if err != nil {
		return err
	}
	defer unlock()
	log.Info("meshd starts", "version", build.Current().Version, "datacenter", cfg.Datacenter, "gateway", cfg.Gateway, "dataDir", cfg.DataDir)
	if cfg.Kubernetes.Enabled {
		err = runInCluster(ctx, cfg, store, log)
	} else {
		err = runGateway(ctx, cfg, store, standalone(cfg), log)
	}
	log.Info("meshd ends", "err", err)
	return err
}

// saveMemory lets the heap grow by half of what is live before it is collected,
// instead of to the double: on an agent with thousands of services that is 10 to
// 20 MiB, for processor time that is not worth mentioning.
func saveMemory() {
	const percent = 50
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(percent)
	}
}

// surroundings are what a gateway is given besides the host itself.
type surroundings struct {
	site     dataplane.Site
	siblings membership.Siblings // nil: this is the only gateway of its datacenter
	// alongside runs as long as the agent; nil: nothing does.
	alongside func(ctx context.Context, a *membership.Agent) error
	// problems tells of what is wrong there; nil: nothing ever is.
	problems func() []plan.Problem
}

func standalone(cfg config.Config) surroundings {
	return surroundings{site: dataplane.StaticSite(cfg.Prefixes)}
}

// runGateway takes part in a federation, until ctx ends.
func runGateway(ctx context.Context, cfg config.Config, store *identity.Store, in surroundings, log *slog.Logger) error {
	a, err := newAgent(ctx, cfg, store, in, log)
	if err != nil {
		return err
	}
	adminServer := admin.NewServer(admin.Config{
		Socket: cfg.Admin.Socket, Handler: admin.Handler{Agent: a}, Sentinels: membership.Sentinels(), Log: log,
	})
	if err := adminServer.Listen(ctx); err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return a.Run(ctx) })
	group.Go(func() error { return adminServer.Run(ctx) })
	group.Go(func() error { return serveMetrics(ctx, cfg.Metrics.Listen, a.Status, log) })
	if in.alongside != nil {
		group.Go(func() error { return in.alongside(ctx, a) })
	}
	return group.Wait()
}

func newAgent(ctx context.Context, cfg config.Config, store *identity.Store, in surroundings, log *slog.Logger) (*membership.Agent, error) {
	key, err := store.WireGuardKey()
	if err != nil {
		return nil, err
	}
	kernel := newRoutes(cfg)
	dataplaneKernel, err := newDataplane(ctx, cfg, kernel, log)
	if err != nil {
		return nil, err
	}
	return membership.New(membership.Config{
		File:     cfg,
		Key:      key,
		Identity: store,
		Sockets: func(overlay func() netip.Prefix) control.Sockets {
			return &sockets.Sockets{Mark: cfg.Routing.Mark, Overlay: overlay}
		},
		Kernel: dataplaneKernel,
		NewLiveness: func() dataplane.Liveness {
			return liveness.New(liveness.Config{
				Port:       cfg.Liveness.Port,
				Interval:   cfg.Liveness.Interval,
				Multiplier: cfg.Liveness.Multiplier,
				Network:    liveness.UDP{},
				Log:        log,
			})
		},
		Host: host.Host{
			TunnelPrefix: cfg.WireGuard.Interface,
			Prefixes:     func() []catalog.Prefix { return in.site.Current().Prefixes },
			Routes: func(ctx context.Context) ([]routes.HostRoute, error) {
				if len(in.site.Current().Nodes.Peers) == 0 {
					return nil, nil // only nodes with tunnels need them, and there may be many
				}
				return kernel.HostRoutes(ctx)
			},
		},
		Site:     in.site,
		Siblings: in.siblings,
		Services: state.File[[]catalog.Service]{
			Path:   filepath.Join(cfg.DataDir, "services.json"),
			What:   "registrations",
			Remedy: "restore the file, or move it away and register the services again",
		},
		DrainStore: state.File[dataplane.StoredDrain]{
			Path:   filepath.Join(cfg.DataDir, "drain.json"),
			What:   "drain",
			Remedy: "remove the file to take the gateway back into use",
		},
		Problems: in.problems,
		Token:    tokenOf(cfg.Join.TokenFile),
		Log:      log,
	}), nil
}

// tokenOf reads the token each time that it is asked for: a Secret may come
// later than the agent, and with another token.
func tokenOf(file string) func() (string, error) {
	if file == "" {
		return nil
	}
	return func() (string, error) {
		text, err := os.ReadFile(file)
		if err != nil {
			return "", err
		}
		token := strings.TrimSpace(string(text))
		if token == "" {
			return "", fmt.Errorf("%s is empty", file)
		}
		return token, nil
	}
}

// serveMetrics serves /metrics, /healthz and /readyz, unless port 0 says not to.
func serveMetrics(ctx context.Context, at netip.AddrPort, snapshot func() status.Snapshot, log *slog.Logger) error {
	if at.Port() == 0 {
		return nil
	}
	var listen net.ListenConfig
	listener, err := listen.Listen(ctx, "tcp", at.String())
	if err != nil {
		return fmt.Errorf("metrics.listen: %w; choose another address, or port 0 to have none", err)
	}
	server := &http.Server{
		Handler:           status.NewHandler(status.HandlerConfig{Snapshot: snapshot, Now: time.Now}),
		ReadHeaderTimeout: 10 * time.Second,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	stop := context.AfterFunc(ctx, func() {
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), metricsGrace)
		defer cancel()
		_ = server.Shutdown(grace)
	})
	defer stop()
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve metrics: %w", err)
	}
	return nil
}

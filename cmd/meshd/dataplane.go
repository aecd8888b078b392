package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/meshway/meshway/agent/config"
	"github.com/meshway/meshway/agent/dataplane"
	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/agent/requirement"
	"github.com/meshway/meshway/agent/state"
	"github.com/meshway/meshway/routes"
	"github.com/meshway/meshway/routes/kernel"
	"github.com/meshway/meshway/routes/nft"
	"github.com/meshway/meshway/tunnel/device"
	wgkernel "github.com/meshway/meshway/tunnel/kernel"
	"github.com/meshway/meshway/tunnel/userspace"
)

// procSysVariable is the environment variable with the path of the host's
// /proc/sys in a container.
const procSysVariable = "MESHWAY_PROC_SYS"

// lanesVariable is the environment variable with the directory in which a
// container requests interfaces of the userspace data plane (meshd lanes).
const lanesVariable = "MESHWAY_LANES"

// newRoutes returns the routes of the kernel, the part of the data plane that
// every host has.
func newRoutes(cfg config.Config) *kernel.Kernel {
	return kernel.New(kernel.Options{
		DevicePrefix: cfg.WireGuard.Interface,
		SysctlRoot:   os.Getenv(procSysVariable),
		Sysctls:      sysctlStore(cfg.DataDir),
	})
}

// sysctlStore stores the former sysctls in the data directory.
func sysctlStore(dir string) kernel.SysctlStore {
	return state.File[[]kernel.SavedSysctl]{
		Path:   filepath.Join(dir, "sysctls.json"),
		What:   "saved sysctls",
		Remedy: "remove the file to discard the saved sysctls",
	}
}

// dataplaneToRemove returns the data plane for a clean-up, which removes
// interfaces of every kind, even if the configured kind is not supported here.
func dataplaneToRemove(ctx context.Context, cfg config.Config, log *slog.Logger) (dataplane.Kernel, error) {
	cfg.WireGuard.Dataplane = "auto"
	return newDataplane(ctx, cfg, newRoutes(cfg), log)
}

// newDataplane selects the adapters. It changes nothing.
func newDataplane(ctx context.Context, cfg config.Config, routing *kernel.Kernel, log *slog.Logger) (dataplane.Kernel, error) {
	inKernel := wgkernel.New()
	var inProcess device.Backend = userspace.New(userspace.Config{LogDir: filepath.Join(cfg.DataDir, "log"), Log: log})
	if dir := os.Getenv(lanesVariable); dir != "" {
		inProcess = userspace.Remote{Dir: dir}
	}
	devices := device.Config{Prefix: cfg.WireGuard.Interface, Log: log, SysctlRoot: os.Getenv(procSysVariable)}
	lacksTunnels := func(context.Context) error { return nil }
	switch supported := wgkernel.Supported(ctx); {
	case cfg.WireGuard.Dataplane == "userspace", cfg.WireGuard.Dataplane == "auto" && supported != nil:
		devices.Backend, devices.Removers = inProcess, []device.Backend{inKernel}
		if cfg.WireGuard.Dataplane == "auto" {
			log.Info("the kernel has no WireGuard, which is faster than the data plane in user space", "err", supported)
		}
		if os.Getenv(lanesVariable) == "" { // the other container has the device file
			lacksTunnels = func(context.Context) error { return userspace.Supported() }
		}
	case supported != nil:
		return dataplane.Kernel{}, fmt.Errorf("wireguard.dataplane is kernel: %w", supported)
	default:
		devices.Backend, devices.Removers = inKernel, []device.Backend{inProcess}
	}
	log.Info("selected the data plane", "dataplane", devices.Backend.Kind(), "configured", cfg.WireGuard.Dataplane)
	return dataplane.Kernel{
		Tunnels: device.New(devices), Routes: routing, Firewall: lastFirewall(cfg.DataDir),
		Withdrawn: state.File[[]plan.Withdrawn]{
			Path: filepath.Join(cfg.DataDir, "withdrawn.json"), What: "withdrawn prefixes",
			Remedy: "remove the file; the agent writes it again",
		},
		Left: state.File[plan.Left]{
			Path: filepath.Join(cfg.DataDir, "left.json"), What: "the prefixes of the federation that was left",
			Remedy: "run meshctl leave --release, which removes the file",
		},
		Earlier: state.File[plan.EarlierRecord]{
			Path: filepath.Join(cfg.DataDir, "earlier.json"), What: "ranges of other routing tables",
			Remedy: "remove the file; the agent writes it again",
		},
		Requirements: []requirement.Requirement{
			requirement.Firewall(nft.Check),
			requirement.Tunnels(lacksTunnels),
			requirement.Routing(func(ctx context.Context) error { return lacksRouting(ctx, cfg) }),
		},
	}, nil
}

// lacksRouting returns why the host cannot have the settings and the routes of a
// gateway, or nil. It reads with a kernel of its own, so that the one of the data plane
// remembers what its own loop has read.
func lacksRouting(ctx context.Context, cfg config.Config) error {
	reading := newRoutes(cfg)
	if err := reading.CheckSysctls(routes.ForwardingSysctls(nil)); err != nil {
		return err
	}
	_, err := reading.Observe(ctx, cfg.Routing.Table)
	return err
}

// lastFirewall returns the firewall of this host, which is stored in the data
// directory.
func lastFirewall(dir string) *dataplane.LastFirewall {
	return &dataplane.LastFirewall{Filter: nft.New(), Store: state.File[routes.Firewall]{
		Path:   filepath.Join(dir, "firewall.json"),
		What:   "firewall",
		Remedy: "remove the file; the agent writes it again",
	}}
}

//go:build linux

package harness

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/meshway/meshway/agent/status"
)

// ConfigFile is the path of meshd's configuration in the gateway's file system.
const ConfigFile = "/run/meshd.yaml"

// Binaries holds the absolute paths of the programs under test.
type Binaries struct{ Meshd, Meshctl string }

// BinariesIn returns the paths of the programs in dir, which must be absolute.
func BinariesIn(dir string) Binaries {
	return Binaries{Meshd: filepath.Join(dir, "meshd"), Meshctl: filepath.Join(dir, "meshctl")}
}

// Build builds the programs into dir.
func Build(ctx context.Context, dir string) (Binaries, error) {
	const module = "github.com/meshway/meshway/cmd/"
	cmd := exec.CommandContext(ctx, "go", "build", "-o", dir+"/", module+"meshd", module+"meshctl")
	if out, err := cmd.CombinedOutput(); err != nil {
		return Binaries{}, fmt.Errorf("build: %w: %s", err, out)
	}
	return BinariesIn(dir), nil
}

// Config returns a configuration for the datacenter's gateway, followed by the
// extra lines.
func (dc *Datacenter) Config(extra ...string) string {
	lines := append([]string{
		"datacenter: " + dc.Name,
		"prefixes:",
		fmt.Sprintf("  pods: [%s, %s]", dc.Pods, dc.Pods6),
		fmt.Sprintf("  services: [%s]", dc.Services),
	}, extra...)
	return strings.Join(lines, "\n") + "\n"
}

// Configure writes the gateway's configuration file.
func (dc *Datacenter) Configure(config string) error {
	if err := dc.Gateway.WriteFile(ConfigFile, []byte(config), 0o600); err != nil {
		return fmt.Errorf("configure %s: %w", dc.Name, err)
	}
	return nil
}

// Run starts meshd on the gateway and waits until meshd answers meshctl.
func (dc *Datacenter) Run(ctx context.Context, binaries Binaries) error {
	dc.binaries = binaries
	var err error
	if dc.Agent, err = dc.Gateway.Start("meshd", binaries.Meshd, "run", "--config", ConfigFile); err != nil {
		return err
	}
	return Wait(ctx, "meshd on "+dc.Name+" answers", func(ctx context.Context) error {
		select {
		case <-dc.Agent.Done():
			return fmt.Errorf("meshd ended: %w\n%s", dc.Agent.Err(), dc.Agent.Log())
		default:
		}
		_, err := dc.Meshctl(ctx, "version")
		return err
	})
}

// Meshctl runs meshctl on the gateway and returns its standard output and
// standard error, combined.
func (dc *Datacenter) Meshctl(ctx context.Context, args ...string) (string, error) {
	return dc.Gateway.Exec(ctx, append([]string{dc.binaries.Meshctl}, args...)...)
}

// MeshctlSplit is like Meshctl but returns standard output and standard error
// separately.
func (dc *Datacenter) MeshctlSplit(ctx context.Context, args ...string) (stdout, stderr string, err error) {
	return dc.Gateway.ExecSplit(ctx, append([]string{dc.binaries.Meshctl}, args...)...)
}

// Query runs meshctl with JSON output and decodes its standard output into
// answer.
func (dc *Datacenter) Query(ctx context.Context, answer any, args ...string) error {
	stdout, _, err := dc.MeshctlSplit(ctx, append(args, "-o", "json")...)
	if err != nil && stdout == "" {
		return err // with output, the exit code may only report problems, as that of meshctl status
	}
	if err := json.Unmarshal([]byte(stdout), answer); err != nil {
		return fmt.Errorf("decode meshctl %s: %w", strings.Join(args, " "), err)
	}
	return nil
}

// Status returns the output of meshctl status.
func (dc *Datacenter) Status(ctx context.Context) (status.Snapshot, error) {
	var snapshot status.Snapshot
	err := dc.Query(ctx, &snapshot, "status")
	return snapshot, err
}

// Token creates a join token on the gateway.
func (dc *Datacenter) Token(ctx context.Context, flags ...string) (string, error) {
	stdout, _, err := dc.MeshctlSplit(ctx, append([]string{"token", "create"}, flags...)...)
	return strings.TrimSpace(stdout), err
}

// AwaitFederation waits until each of the datacenters is a member, has a
// leader, and reaches all other datacenters.
func AwaitFederation(ctx context.Context, datacenters ...*Datacenter) error {
	for _, dc := range datacenters {
		err := Wait(ctx, dc.Name+" reaches all other datacenters", func(ctx context.Context) error {
			snapshot, err := dc.Status(ctx)
			if err != nil {
				return err
			}
			return checkFederation(snapshot, len(datacenters))
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func checkFederation(snapshot status.Snapshot, datacenters int) error {
	if snapshot.State != status.Member {
		return fmt.Errorf("the state is %s", snapshot.State)
	}
	if snapshot.Catalog.Leader == "" {
		return errors.New("there is no leader")
	}
	if len(snapshot.Datacenters) != datacenters {
		return fmt.Errorf("status lists %d of %d datacenters", len(snapshot.Datacenters), datacenters)
	}
	for _, dc := range snapshot.Datacenters {
		if !dc.Self && !dc.Reachable {
			return fmt.Errorf("datacenter %s is unreachable", dc.Name)
		}
	}
	return nil
}

// AwaitVoters waits until each of the datacenters reports this number of
// voters. A test that stops a gateway awaits enough voters to keep the quorum.
func AwaitVoters(ctx context.Context, voters int, datacenters ...*Datacenter) error {
	for _, dc := range datacenters {
		err := Wait(ctx, fmt.Sprintf("%s reports %d voters", dc.Name, voters), func(ctx context.Context) error {
			snapshot, err := dc.Status(ctx)
			if err == nil && snapshot.Catalog.Voters != voters {
				err = fmt.Errorf("it reports %d", snapshot.Catalog.Voters)
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

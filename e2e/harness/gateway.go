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

// ConfigFile is where a gateway's configuration is, as the gateway sees it.
const ConfigFile = "/run/meshd.yaml"

// Binaries are the programs under test.
type Binaries struct{ Meshd, Meshctl string }

// BinariesIn returns the programs in a directory, which must be absolute.
func BinariesIn(dir string) Binaries {
	return Binaries{Meshd: filepath.Join(dir, "meshd"), Meshctl: filepath.Join(dir, "meshctl")}
}

// Build builds the programs into a directory.
func Build(ctx context.Context, dir string) (Binaries, error) {
	const module = "github.com/meshway/meshway/cmd/"
	cmd := exec.CommandContext(ctx, "go", "build", "-o", dir+"/", module+"meshd", module+"meshctl")
	if out, err := cmd.CombinedOutput(); err != nil {
		return Binaries{}, fmt.Errorf("build: %w: %s", err, out)
	}
	return BinariesIn(dir), nil
}

// Config returns a configuration for the datacenter's gateway. The further
// lines come after it.
func (dc *Datacenter) Config(further ...string) string {
	lines := append([]string{
		"datacenter: " + dc.Name,
		"prefixes:",
		fmt.Sprintf("  pods: [%s, %s]", dc.Pods, dc.Pods6),
		fmt.Sprintf("  services: [%s]", dc.Services),
	}, further...)
	return strings.Join(lines, "\n") + "\n"
}

// Configure writes the gateway's configuration.
func (dc *Datacenter) Configure(config string) error {
	if err := dc.Gateway.WriteFile(ConfigFile, []byte(config), 0o600); err != nil {
		return fmt.Errorf("configure %s: %w", dc.Name, err)
	}
	return nil
}

// Run starts meshd on the gateway and waits until it answers meshctl.
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

// Meshctl runs meshctl on the gateway and returns all that it printed.
func (dc *Datacenter) Meshctl(ctx context.Context, args ...string) (string, error) {
	return dc.Gateway.Exec(ctx, append([]string{dc.binaries.Meshctl}, args...)...)
}

// MeshctlSplit is Meshctl with standard output and error apart.
func (dc *Datacenter) MeshctlSplit(ctx context.Context, args ...string) (stdout, stderr string, err error) {
	return dc.Gateway.ExecSplit(ctx, append([]string{dc.binaries.Meshctl}, args...)...)
}

// Query runs meshctl with JSON output and decodes what it printed.
func (dc *Datacenter) Query(ctx context.Context, answer any, args ...string) error {
	stdout, _, err := dc.MeshctlSplit(ctx, append(args, "-o", "json")...)
	if err != nil && stdout == "" {
		return err // status reports problems by its exit code too, with an answer
	}
	if err := json.Unmarshal([]byte(stdout), answer); err != nil {
		return fmt.Errorf("decode meshctl %s: %w", strings.Join(args, " "), err)
	}
	return nil
}

// Status returns what meshctl status knows.
func (dc *Datacenter) Status(ctx context.Context) (status.Snapshot, error) {
	var snapshot status.Snapshot
	err := dc.Query(ctx, &snapshot, "status")
	return snapshot, err
}

// Token makes a join token on the gateway.
func (dc *Datacenter) Token(ctx context.Context, flags ...string) (string, error) {
	stdout, _, err := dc.MeshctlSplit(ctx, append([]string{"token", "create"}, flags...)...)
	return strings.TrimSpace(stdout), err
}

// AwaitFederation waits until each of the datacenters is a member, knows the
// leader, and reaches all others.
func AwaitFederation(ctx context.Context, datacenters ...*Datacenter) error {
	for _, dc := range datacenters {
		err := Wait(ctx, dc.Name+" reaches all others", func(ctx context.Context) error {
			snapshot, err := dc.Status(ctx)
			if err != nil {
				return err
			}
			return whole(snapshot, len(datacenters))
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func whole(snapshot status.Snapshot, datacenters int) error {
	if snapshot.State != status.Member {
		return fmt.Errorf("it is %s", snapshot.State)
	}
	if snapshot.Catalog.Leader == "" {
		return errors.New("it knows no leader")
	}
	if len(snapshot.Datacenters) != datacenters {
		return fmt.Errorf("it knows %d of %d datacenters", len(snapshot.Datacenters), datacenters)
	}
	for _, dc := range snapshot.Datacenters {
		if !dc.Self && !dc.Reachable {
			return fmt.Errorf("it does not reach %s", dc.Name)
		}
	}
	return nil
}

// AwaitVoters waits until so many gateways vote, as each of the datacenters
// knows: so many are needed that the loss of one is survived.
func AwaitVoters(ctx context.Context, voters int, datacenters ...*Datacenter) error {
	for _, dc := range datacenters {
		err := Wait(ctx, fmt.Sprintf("%s knows %d voters", dc.Name, voters), func(ctx context.Context) error {
			snapshot, err := dc.Status(ctx)
			if err == nil && snapshot.Catalog.Voters != voters {
				err = fmt.Errorf("it knows %d", snapshot.Catalog.Voters)
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

//go:build linux && root

package netns_test

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/e2e/harness"
)

// TestMeshdThatCannotStartExitsWithOneError prepares a member's host so that
// its agent cannot start.
func TestMeshdThatCannotStartExitsWithOneError(t *testing.T) {
	topology := newFederation(t, "east")
	east := topology.Datacenters[0]
	require.NoError(t, east.Agent.Terminate(within(t, timeout)))
	run(t, east.Gateway, "cp -a /var/lib/meshway /var/lib/good")
	before := kernelState(t, east.Gateway)

	for _, c := range []struct {
		name    string
		config  string
		prepare []string
		prefix  []string // of the command line
		want    []string
	}{
		{
			name:   "unknown key",
			config: east.Config("wiregard: {port: 1}"),
			want:   []string{harness.ConfigFile, "wiregard", "wireguard"},
		},
		{
			name:    "no root",
			prepare: []string{"chmod 0644 " + harness.ConfigFile},
			prefix:  []string{"setpriv", "--reuid", "65534", "--clear-groups"},
			want:    []string{"root"},
		},
		{
			name:    "corrupt catalog",
			prepare: []string{"find /var/lib/meshway -name *.db -size +0 -exec dd if=/dev/urandom of={} bs=4096 count=4 conv=notrunc status=none ;"},
			want:    []string{"/var/lib/meshway/"},
		},
		{
			name:    "data directory that is a file",
			prepare: []string{"rm -r /var/lib/meshway", "touch /var/lib/meshway"},
			want:    []string{"/var/lib/meshway"},
		},
		{
			name: "full disk",
			prepare: []string{
				"rm -r /var/lib/meshway", "mkdir /var/lib/meshway", "mount -t tmpfs -o size=64k,mode=0700 tmpfs /var/lib/meshway",
				"dd if=/dev/zero of=/var/lib/meshway/ballast bs=4096 count=16 status=none",
			},
			want: []string{"/var/lib/meshway", "no space"},
		},
		{
			name:   "data directory of another datacenter",
			config: strings.Replace(east.Config(), "datacenter: east", "datacenter: other", 1),
			want:   []string{"east", "other"},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			config := c.config
			if config == "" {
				config = east.Config()
			}
			require.NoError(t, east.Configure(config))
			run(t, east.Gateway, c.prepare...)
			out, err := east.Gateway.Exec(within(t, timeout/4), append(c.prefix, binaries.Meshd, "run", "--config", harness.ConfigFile)...)
			t.Log(out)
			assert.Equal(t, 1, harness.ExitCode(err), "meshd exits by itself")
			assert.Equal(t, 1, strings.Count(out, "error:"), "one error")
			for _, word := range c.want {
				assert.Contains(t, out, word)
			}
			assert.Equal(t, before, kernelState(t, east.Gateway), "the kernel state is unchanged")
			run(t, east.Gateway, "sh -c umount${IFS}/var/lib/meshway||true", "rm -rf /var/lib/meshway", "cp -a /var/lib/good /var/lib/meshway")
		})
	}
	require.NoError(t, east.Configure(east.Config()))
	require.NoError(t, east.Run(within(t, timeout), binaries))
	awaitFederation(t, east)
}

// TestAHostThatLacksARequirementReportsItAndJoinsNothing takes from a host, one after
// the other, what the data plane uses.
func TestAHostThatLacksARequirementReportsItAndJoinsNothing(t *testing.T) {
	topology := newTopology(t, "east")
	east := topology.Datacenters[0]
	for _, c := range []struct{ name, missing, restored, code, remedy string }{
		{"TUN", "mount -t tmpfs tmpfs /dev/net", "umount /dev/net", "tunnels-unsupported", "/dev/net/tun"},
		{"nft", "mount --bind /dev/null " + nftPath(t), "umount " + nftPath(t), "firewall-unsupported", "nftables"},
		{"forwarding", "mount -o bind,ro /proc/sys /proc/sys", "umount /proc/sys", "routing-unsupported", "sysctl -w"},
	} {
		t.Run(c.name, func(t *testing.T) {
			before := kernelState(t, east.Gateway)
			run(t, east.Gateway, c.missing)
			require.NoError(t, east.Configure(east.Config("wireguard: {dataplane: userspace}")))
			require.NoError(t, east.Run(within(t, timeout), binaries))
			require.NoError(t, harness.Wait(within(t, timeout), "the problem "+c.code, func(ctx context.Context) error {
				snapshot, err := east.Status(ctx)
				if err == nil && !slices.ContainsFunc(snapshot.Problems, func(p plan.Problem) bool { return p.Code == c.code && p.Severity == plan.Error }) {
					err = fmt.Errorf("the problems are %v", snapshot.Problems)
				}
				return err
			}))
			_, err := east.Meshctl(within(t, timeout), "init")
			require.ErrorContains(t, err, c.remedy)
			run(t, east.Gateway, c.restored)
			assert.Equal(t, before, kernelState(t, east.Gateway))
			require.NoError(t, harness.Wait(within(t, timeout), "no problem", func(ctx context.Context) error {
				snapshot, err := east.Status(ctx)
				if err == nil && len(snapshot.Problems) > 0 {
					err = fmt.Errorf("the problems are %v", snapshot.Problems)
				}
				return err
			}))
			require.NoError(t, east.Agent.Terminate(within(t, timeout)))
		})
	}
}

// nftPath returns the path of nft.
func nftPath(t *testing.T) string {
	t.Helper()
	path, err := exec.LookPath("nft")
	require.NoError(t, err)
	path, err = filepath.EvalSymlinks(path)
	require.NoError(t, err)
	return path
}

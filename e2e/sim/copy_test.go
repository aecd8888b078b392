package sim

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/agent/member"
	"github.com/meshway/meshway/agent/status"
)

// copyOf returns a host with a copy of the data of a stopped gateway.
func (sim *simulation) copyOf(of *gateway, number byte) *gateway {
	cfg := of.cfg
	cfg.DataDir = sim.t.TempDir()
	require.NoError(sim.t, filepath.WalkDir(of.cfg.DataDir, func(path string, entry fs.DirEntry, err error) error {
		to := cfg.DataDir + strings.TrimPrefix(path, of.cfg.DataDir)
		if err != nil || to == cfg.DataDir {
			return err
		}
		if entry.IsDir() {
			return os.Mkdir(to, 0o700)
		}
		content, err := os.ReadFile(path)
		return errors.Join(err, os.WriteFile(to, content, 0o600))
	}))
	g := newGateway(sim, "copy", cfg, underlayOf(number))
	sim.mu.Lock()
	sim.gateways[g.name()] = g
	sim.mu.Unlock()
	return g
}

// A copy of a disk is made while the original is down, and started when it is up.
func TestCopyThatOnlyOtherMembersCanCompareDoesNotStart(t *testing.T) {
	simulate(t, func(t *testing.T, sim *simulation) {
		east, west := sim.datacenter("east", 1), sim.datacenter("west", 2)
		federate(t, east, west)
		west.stop()
		other := sim.copyOf(west, 3)
		west.start()
		await(t, "east and west reach each other", func() bool { return east.reachable() == 2 && west.reachable() == 2 })
		sim.setCut("west", "copy", true)

		other.start()
		t.Cleanup(other.stop)
		var err error
		await(t, "the copy stops", func() bool {
			select {
			case err = <-other.ended:
				other.cancel = nil
				return true
			default:
				return false
			}
		})
		copied := (*member.CopyError)(nil)
		require.ErrorAs(t, err, &copied)
		assert.Equal(t, "gateway west/gw already runs on another host, which answers gateway east/gw at "+copied.Address+" with the same key; "+
			"stop meshd there if that host is the copy, or else remove dataDir here and join as a gateway of its own", err.Error())
		assert.Empty(t, other.observedTunnels())
		assert.Empty(t, problemCodes(east.agent.Status()))
		assert.Equal(t, 2, west.reachable())
	})
}

// A backup that is restored elsewhere, a host with another address, and a plain restart
// are no copies, although others remember the gateway.
func TestGatewayMovesToAnotherHostWhenTheFormerIsGone(t *testing.T) {
	simulate(t, func(t *testing.T, sim *simulation) {
		east, west := sim.datacenter("east", 1), sim.datacenter("west", 2)
		federate(t, east, west)
		west.crash()
		moved := sim.copyOf(west, 3)
		sim.mu.Lock()
		delete(sim.gateways, "west")
		sim.mu.Unlock()
		moved.start()
		t.Cleanup(moved.stop)
		await(t, "the restored gateway is a member", func() bool {
			s := moved.agent.Status()
			return s.State == status.Member && s.Catalog.Leader != ""
		})
	})
}

package requirement_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os/exec"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/agent/requirement"
)

func TestEachMissingRequirementIsOneErrorWithARemedy(t *testing.T) {
	missing := func(err error) func(context.Context) error { return func(context.Context) error { return err } }
	for name, c := range map[string]struct {
		requirement           requirement.Requirement
		code, message, remedy string
	}{
		"no nft": {
			requirement.Firewall(missing(fmt.Errorf("find nft: %w", exec.ErrNotFound))), "firewall-unsupported",
			"gateway east/a has no firewall against spoofed and unencrypted packets: find nft: executable file not found in $PATH",
			"install the package nftables",
		},
		"a kernel without a feature": {
			requirement.Firewall(missing(errors.New("nft --check: No such file or directory\nadd rule\n^^^"))), "firewall-unsupported",
			"gateway east/a has no firewall against spoofed and unencrypted packets: nft --check: No such file or directory",
			"modprobe -a nf_tables nft_ct nft_nat nft_fib_inet",
		},
		"no TUN": {
			requirement.Tunnels(missing(errors.New("open /dev/net/tun: no such file or directory"))), "tunnels-unsupported",
			"gateway east/a can have no tunnels: open /dev/net/tun: no such file or directory",
			"modprobe tun",
		},
		"read-only settings": {
			requirement.Routing(missing(errors.New("sysctl net.ipv4.ip_forward=1 cannot be set: read-only file system"))), "routing-unsupported",
			"gateway east/a cannot forward packets: sysctl net.ipv4.ip_forward=1 cannot be set: read-only file system",
			"sysctl -w",
		},
	} {
		t.Run(name, func(t *testing.T) {
			problems := requirement.Unmet(t.Context(), "gateway east/a", []requirement.Requirement{requirement.Routing(missing(nil)), c.requirement})
			require.Len(t, problems, 1)
			p := problems[0]
			assert.Equal(t, c.code, p.Code)
			assert.Equal(t, plan.Error, p.Severity)
			assert.Equal(t, "gateway east/a", p.Subject)
			assert.Equal(t, c.message, p.Message)
			assert.Contains(t, p.Remedy, c.remedy)
			assert.True(t, requirement.Is(p))
		})
	}
	assert.False(t, requirement.Is(plan.Problem{Code: "cut-off"}))
}

func TestProblemsOfAHostEndWhenItHasWhatWasMissing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var installed atomic.Bool
		checks := 0
		w := requirement.NewWatch("gateway east/a", []requirement.Requirement{requirement.Firewall(func(context.Context) error {
			checks++
			if installed.Load() {
				return nil
			}
			return exec.ErrNotFound
		})}, slog.New(slog.DiscardHandler))
		ended := make(chan struct{})
		go func() { w.Run(t.Context()); close(ended) }()
		synctest.Wait()
		require.Len(t, w.Problems(), 1)
		installed.Store(true)
		<-ended
		assert.Empty(t, w.Problems())
		assert.Equal(t, 2, checks)
		time.Sleep(time.Hour)
		assert.Equal(t, 2, checks, "a host that has everything is not checked again")
	})
}

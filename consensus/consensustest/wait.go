package consensustest

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/consensus"
	"github.com/meshway/meshway/consensus/catalog/replica"
)

const (
	timeout  = 2 * time.Minute
	interval = 20 * time.Millisecond
)

// Until waits until a condition holds. It fails the test after two minutes, with the
// states of the members.
func (c *Cluster) Until(what string, holds func() bool) {
	c.t.Helper()
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for limit := time.Now().Add(timeout); !holds(); <-ticker.C {
		if !time.Now().Before(limit) {
			require.Fail(c.t, fmt.Sprintf("waited %s for %s", timeout, what), c.states())
		}
	}
}

// states describes the members, a line each.
func (c *Cluster) states() string {
	var b strings.Builder
	for _, m := range c.Members {
		if !m.Running() {
			fmt.Fprintf(&b, "%s does not run\n", m.ID)
			continue
		}
		s := m.Node.Status()
		fmt.Fprintf(&b, "%s: %s of term %d, leader %q %s ago, committed %d, applied %d, index %d, peers %+v\n", m.ID,
			s.Role, s.Term, s.Leader, s.LastContact, s.CommitIndex, s.AppliedIndex, m.Node.View().Index(), s.Peers)
	}
	return b.String()
}

// running returns the members that run.
func (c *Cluster) running() []*Member {
	var up []*Member
	for _, m := range c.Members {
		if m.Running() {
			up = append(up, m)
		}
	}
	return up
}

// Leader waits until one of the running members leads and can serve.
func (c *Cluster) Leader() *Member { return c.LeaderOf(c.running()...) }

// LeaderOf waits until one of these members leads and can serve.
func (c *Cluster) LeaderOf(members ...*Member) (leader *Member) {
	c.t.Helper()
	c.Until("a leader", func() bool {
		for _, m := range members {
			if m.serves() {
				leader = m
				return true
			}
		}
		return false
	})
	return leader
}

// WaitVoters waits until the leader has count voters, all healthy.
func (c *Cluster) WaitVoters(count int) {
	c.t.Helper()
	c.Until("voters", func() bool {
		voters, healthy := c.Leader().Voters()
		return voters == count && healthy == count
	})
}

// serves reports whether m leads and answers reads. Only then its status contains
// healthy members, of which it is one.
func (m *Member) serves() bool {
	return slices.ContainsFunc(m.Node.Status().Peers, func(p consensus.Peer) bool { return p.Healthy })
}

// Voters counts the voters of raft's configuration as m has it, and those of them
// that are healthy, which only a leader can judge.
func (m *Member) Voters() (all, healthy int) {
	for _, p := range m.Node.Status().Peers {
		if !p.Voter {
			continue
		}
		all++
		if p.Healthy {
			healthy++
		}
	}
	return all, healthy
}

// WaitEqual waits until the catalogs of all running members are equal, bit by bit.
func (c *Cluster) WaitEqual() {
	c.t.Helper()
	c.Until("equal catalogs", func() bool {
		var first []byte
		for _, m := range c.running() {
			encoded := Encode(c.t, m.Node.View())
			if first == nil {
				first = encoded
			}
			if !bytes.Equal(first, encoded) {
				return false
			}
		}
		return true
	})
}

// Encode encodes a view.
func Encode(t require.TestingT, view *replica.View) []byte {
	var b bytes.Buffer
	require.NoError(t, view.Encode(&b))
	return b.Bytes()
}

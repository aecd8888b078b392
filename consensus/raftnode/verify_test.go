package raftnode_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/consensus"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/consensustest"
	"github.com/meshway/meshway/consensus/raftnode"
)

// heldDisk lets the next write wait.
type heldDisk struct {
	hold    chan time.Duration // size 1
	waiting chan struct{}
}

func (d *heldDisk) Wait() {
	select {
	case wait := <-d.hold:
		d.waiting <- struct{}{}
		time.Sleep(wait)
	default:
	}
}

func (d *heldDisk) Write(size int) (int, error) { return size, nil }

func (d *heldDisk) Sync() error { return nil }

// Raft gives no result to a VerifyLeader that it had not received when it ended. A bubble
// fails if a goroutine waits for one.
func TestAReadThatWaitsForALeaderWhoseDiskIsSlowEndsWithIt(t *testing.T) {
	for range 20 { // raft chooses at random whether it receives it
		bubble(t, func(t *testing.T) {
			disk := &heldDisk{hold: make(chan time.Duration, 1), waiting: make(chan struct{})}
			c := consensustest.New(t, 1, consensustest.Options{Host: func(catalog.GatewayID) raftnode.Host {
				return raftnode.Host{Disk: disk}
			}})
			m := c.Members[0]
			disk.hold <- time.Minute
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			defer cancel()
			go m.Node.Propose(ctx, consensustest.Key{Owner: m.ID, Name: "web"}.Set("x"))
			<-disk.waiting
			began := time.Now()
			_, _, err := m.Node.Read(ctx, consensus.ConsistentRead)
			require.LessOrEqual(t, time.Since(began), time.Second, "%v", err)
			m.Kill()
		})
	}
}

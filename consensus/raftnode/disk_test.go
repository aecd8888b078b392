package raftnode_test

import (
	"context"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/consensustest"
	"github.com/meshway/meshway/consensus/raftnode"
)

// fullDisk is a disk that can be full.
type fullDisk struct{ full atomic.Bool }

func (d *fullDisk) Wait() {}

func (d *fullDisk) Write(size int) (int, error) {
	if d.full.Load() {
		return size / 2, syscall.ENOSPC
	}
	return size, nil
}

func (d *fullDisk) Sync() error {
	_, err := d.Write(0)
	return err
}

func TestAFullDiskEndsTheNodeWithPathAndRemedyAndNothingIsLost(t *testing.T) {
	for _, store := range []raftnode.LogStore{raftnode.WAL, raftnode.Bolt} {
		t.Run(string(store), func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				disk := &fullDisk{}
				c := consensustest.New(t, 1, consensustest.Options{LogStore: store, Host: func(catalog.GatewayID) raftnode.Host {
					return raftnode.Host{Disk: disk}
				}})
				m := c.Members[0]
				key := consensustest.Key{Owner: m.ID, Name: "web"}
				write(t, m, key, "before")
				disk.full.Store(true)
				_, err := m.Node.Propose(context.Background(), key.Set("after"))
				require.Error(t, err)
				err = m.Wait()
				require.ErrorIs(t, err, syscall.ENOSPC)
				require.ErrorContains(t, err, m.Dir)
				require.ErrorContains(t, err, "the disk is full: free space there and start again; nothing is lost")
				require.ErrorContains(t, m.TryOpen(), "the disk is full: free space there")
				disk.full.Store(false)
				m.Restart()
				c.Leader()
				require.Equal(t, "before", key.Get(m.Node.View()))
			})
		})
	}
}

package raftnode_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/meshway/meshway/consensus"
	"github.com/meshway/meshway/consensus/archive"
	"github.com/meshway/meshway/consensus/archive/archivetest"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/replica"
	"github.com/meshway/meshway/consensus/consensustest"
	"github.com/meshway/meshway/consensus/raftnode"
)

// withEachStore runs a test with each store of the log.
func withEachStore(t *testing.T, test func(t *testing.T, store raftnode.LogStore)) {
	t.Helper()
	for _, store := range []raftnode.LogStore{raftnode.WAL, raftnode.Bolt} {
		t.Run(string(store), func(t *testing.T) {
			bubble(t, func(t *testing.T) { test(t, store) })
		})
	}
}

func TestWritesSurviveARestartOfAllMembers(t *testing.T) {
	withEachStore(t, func(t *testing.T, store raftnode.LogStore) {
		c := consensustest.New(t, 3, consensustest.Options{LogStore: store})
		key := consensustest.Key{Owner: c.Members[0].ID, Name: "web"}
		write(t, c.Members[2], key, "kept")
		for _, m := range c.Members {
			m.Stop()
		}
		for _, m := range c.Members {
			m.Restart()
		}
		view, _, err := c.Members[1].Node.Read(context.Background(), consensus.ConsistentRead)
		require.NoError(t, err)
		require.Equal(t, "kept", key.Get(view))
		c.WaitEqual()
	})
}

// Raft alone would serve its last snapshot. A small federation has none: the
// tunnels would be removed.
func TestAMemberThatStartsWithoutQuorumServesItsLastState(t *testing.T) {
	withEachStore(t, func(t *testing.T, store raftnode.LogStore) {
		c := consensustest.New(t, 3, consensustest.Options{LogStore: store})
		key := consensustest.Key{Owner: c.Members[0].ID, Name: "web"}
		write(t, c.Members[2], key, "known")
		c.WaitEqual()
		want := consensustest.Encode(t, c.Members[0].Node.View())
		time.Sleep(5 * time.Second)
		for _, m := range c.Members {
			m.Kill()
		}
		m := c.Members[1]
		m.Open()
		require.Equal(t, want, consensustest.Encode(t, m.Node.View()), "before Run")
		m.Start()
		for range 100 {
			require.Equal(t, want, consensustest.Encode(t, m.Node.View()), "without quorum")
			time.Sleep(time.Second)
		}
		c.Members[0].Restart()
		m.Stop()
		m.Restart()
		index := m.Node.View().Index()
		for range 100 {
			require.GreaterOrEqual(t, m.Node.View().Index(), index, "a view does not go back while raft replays")
			time.Sleep(50 * time.Millisecond)
		}
		write(t, m, key, "goes on")
	})
}

func TestALaggingMemberReceivesASnapshot(t *testing.T) {
	withEachStore(t, func(t *testing.T, store raftnode.LogStore) {
		timers := raftnode.LAN()
		timers.SnapshotInterval, timers.TrailingLogs = time.Second, 4
		c := consensustest.New(t, 3, consensustest.Options{Timers: timers, SnapshotThreshold: 8, LogStore: store})
		key := consensustest.Key{Owner: c.Members[0].ID, Name: "web"}
		lagging := others(c, c.Leader())[0]
		lagging.Kill()
		for i := range 60 {
			write(t, c.Leader(), key, fmt.Sprint(i))
			time.Sleep(100 * time.Millisecond)
		}
		lagging.Restart()
		c.WaitEqual()
		require.Equal(t, "59", key.Get(lagging.Node.View()))
		lagging.Stop()
		lagging.Restart() // from that snapshot
		require.Equal(t, "59", key.Get(lagging.Node.View()))
		write(t, lagging, key, "60")
		c.WaitEqual()
		found, err := filepath.Glob(filepath.Join(c.Leader().Dir, "snapshots", "*"))
		require.NoError(t, err)
		assert.LessOrEqual(t, len(found), 2)
	})
}

func TestASnapshotIsRestoredAndWritesContinue(t *testing.T) {
	withEachStore(t, func(t *testing.T, store raftnode.LogStore) {
		c := consensustest.New(t, 3, consensustest.Options{LogStore: store})
		key := consensustest.Key{Owner: c.Members[0].ID, Name: "web"}
		write(t, c.Members[0], key, "saved")
		data, info, err := c.Members[1].Node.SaveSnapshot(context.Background(), consensus.ConsistentRead)
		require.NoError(t, err)
		require.Equal(t, consensustest.Federation, info.Federation)
		require.Equal(t, 3, info.Gateways)
		write(t, c.Members[0], key, "later")
		before := c.Members[0].Node.View().Index()

		asked := others(c, c.Leader())[0]
		require.ErrorIs(t, asked.Node.Restore(context.Background(), data), consensus.ErrRejected, "it does not lead")
		require.Equal(t, "later", key.Get(c.Leader().Node.View()))
		require.NoError(t, c.Leader().Node.Restore(context.Background(), data))
		c.WaitEqual()
		for _, m := range c.Members {
			require.Equal(t, "saved", key.Get(m.Node.View()))
			require.Greater(t, m.Node.View().Index(), before, "the index does not go back")
		}
		write(t, asked, key, "after")
		for _, m := range c.Members {
			m.Stop()
		}
		for _, m := range c.Members {
			m.Restart()
		}
		c.WaitEqual()
		require.Equal(t, "after", key.Get(asked.Node.View()))
	})
}

func TestABadSnapshotChangesNothing(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := consensustest.New(t, 3, consensustest.Options{})
		m := c.Leader()
		data, _, err := m.Node.SaveSnapshot(context.Background(), consensus.StaleRead)
		require.NoError(t, err)
		foreign := foreignArchive(t)
		forged := archiveWithOtherCA(t, m.Node.View())
		altered := append([]byte(nil), data...)
		altered[len(altered)/2] ^= 1
		federation, _ := m.Node.View().Federation()
		own := archive.Info{Federation: federation.ID}
		for name, tc := range map[string]struct {
			archive []byte
			text    string
		}{
			"truncated":       {data[:len(data)/2], "not a valid catalog snapshot"},
			"altered":         {altered, "not a valid catalog snapshot"},
			"empty":           {nil, "not a valid catalog snapshot"},
			"foreign":         {foreign, "is of federation"},
			"forged":          {forged, "datacenter dc1 has another CA"},
			"records":         {archivetest.Forge(t, own, make([]byte, 2<<20)), "more than 1048576 records"},
			"trailing":        {append(bytes.Clone(data), data...), "data follows"},
			"catalog":         {archivetest.Forge(t, own, []byte{1, 0xff}), "not a valid snapshot"},
			"foreign catalog": {archivetest.Forge(t, archive.Info{Federation: "another"}, []byte{1, 0xff}), "is of federation another"},
		} {
			before := consensustest.Encode(t, m.Node.View())
			err := m.Node.Restore(context.Background(), tc.archive)
			require.ErrorIs(t, err, consensus.ErrRejected, name)
			require.ErrorContains(t, err, tc.text, name)
			require.Equal(t, before, consensustest.Encode(t, m.Node.View()), name)
		}
	})
}

func foreignArchive(t *testing.T) []byte {
	t.Helper()
	init := consensustest.NewInit(consensustest.DatacenterName(0), "gw0")
	init.GetInit().Federation.Id = "99999999-2222-4333-8444-555555555555"
	state := replica.New()
	init.Author = "dc0/gw0"
	init.At = timestamppb.Now()
	entry, err := catalog.Marshal(init)
	require.NoError(t, err)
	results, err := state.Apply(1, entry)
	require.NoError(t, err)
	require.Nil(t, results[0].Refusal)
	data, _, err := archive.Pack(archive.Info{}, state.View(), nil)
	require.NoError(t, err)
	return data
}

// archiveWithOtherCA returns an archive in which dc1 left and joined with another CA.
func archiveWithOtherCA(t *testing.T, view *replica.View) []byte {
	t.Helper()
	state, err := replica.Decode(bytes.NewReader(consensustest.Encode(t, view)))
	require.NoError(t, err)
	create, join := consensustest.NewJoin("dc0/gw0", "dc1", "gw0")
	_, other := consensustest.NewJoin("dc0/gw0", "dc9", "gw0")
	join.GetJoin().Datacenter.CaCertificate = other.GetJoin().GetDatacenter().GetCaCertificate()
	cmds := []consensustest.Command{consensustest.NewLeave("dc1/gw0"), create, join}
	for _, cmd := range cmds {
		cmd.At = timestamppb.Now()
	}
	entry, err := catalog.Marshal(cmds...)
	require.NoError(t, err)
	results, err := state.Apply(view.Index()+1, entry)
	require.NoError(t, err)
	for _, r := range results {
		require.Nil(t, r.Refusal)
	}
	data, _, err := archive.Pack(archive.Info{}, state.View(), nil)
	require.NoError(t, err)
	return data
}

func TestALostFederationIsRestoredFromASnapshot(t *testing.T) {
	withEachStore(t, func(t *testing.T, store raftnode.LogStore) {
		lost := consensustest.New(t, 3, consensustest.Options{LogStore: store})
		key := consensustest.Key{Owner: lost.Members[0].ID, Name: "web"}
		write(t, lost.Members[0], key, "saved")
		data, _, err := lost.Members[0].Node.SaveSnapshot(context.Background(), consensus.LeaseRead)
		require.NoError(t, err)
		lost.Stop()
		for _, m := range lost.Members {
			m.Dir = consensustest.TempDir(t)
		}
		first := lost.Members[0]
		first.Open()
		require.NoError(t, first.Node.Bootstrap())
		first.Start()
		require.NoError(t, first.Node.Restore(context.Background(), data))
		require.Equal(t, "saved", key.Get(first.Node.View()))
		for _, m := range lost.Members[1:] {
			m.Restart()
		}
		lost.WaitVoters(3)
		lost.WaitEqual()
		require.Equal(t, "saved", key.Get(lost.Members[2].Node.View()))
	})
}

func TestRecoverGivesTheCatalogNewVoters(t *testing.T) {
	withEachStore(t, func(t *testing.T, store raftnode.LogStore) {
		c := consensustest.New(t, 3, consensustest.Options{LogStore: store})
		key := consensustest.Key{Owner: c.Members[0].ID, Name: "web"}
		write(t, c.Members[0], key, "kept")
		c.WaitEqual()
		for _, m := range c.Members {
			m.Kill()
		}
		left := c.Members[1]
		recovery := raftnode.Recovery{
			Dir: left.Dir, ID: left.ID, Voters: []catalog.GatewayID{left.ID}, Now: time.Now(),
		}
		for text, change := range map[string]func(r *raftnode.Recovery){
			"no voters given":            func(r *raftnode.Recovery) { r.Voters = nil },
			"do not contain dc1/gw0":     func(r *raftnode.Recovery) { r.Voters = []catalog.GatewayID{"dc2/gw0"} },
			"is named twice":             func(r *raftnode.Recovery) { r.Voters = append(r.Voters, left.ID) },
			"is not in the catalog":      func(r *raftnode.Recovery) { r.Voters = append(r.Voters, "dc9/gw0") },
			"holds no catalog":           func(r *raftnode.Recovery) { r.Dir = consensustest.TempDir(t) },
			"belongs to gateway dc1/gw0": func(r *raftnode.Recovery) { r.ID, r.Voters = "dc2/gw0", []catalog.GatewayID{"dc2/gw0"} },
			"recover: no time given":     func(r *raftnode.Recovery) { r.Now = time.Time{} },
		} {
			bad := recovery
			change(&bad)
			_, err := raftnode.Recover(bad)
			require.ErrorContains(t, err, text)
			_, err = raftnode.Inspect(bad)
			require.ErrorContains(t, err, text)
		}
		prospect, err := raftnode.Inspect(recovery)
		require.NoError(t, err)
		require.Equal(t, []catalog.GatewayID{"dc0/gw0", "dc1/gw0", "dc2/gw0"}, prospect.Former)
		require.Equal(t, "kept", key.Get(prospect.View))
		require.WithinDuration(t, time.Now(), prospect.WrittenAt, time.Hour)
		require.GreaterOrEqual(t, prospect.Index, prospect.Committed)
		require.Zero(t, prospect.Unusable)
		backup, err := raftnode.Recover(recovery)
		require.NoError(t, err)
		for _, name := range []string{"raft.db", "snapshots"} {
			_, err = os.Stat(filepath.Join(backup, name))
			require.NoError(t, err)
		}
		if store == raftnode.WAL {
			require.FileExists(t, segment(t, backup))
		}
		after, err := raftnode.Inspect(recovery)
		require.NoError(t, err)
		require.Equal(t, recovery.Voters, after.Former)
		require.GreaterOrEqual(t, after.Index, prospect.Index, "the recovery keeps what the dry run showed")
		left.Restart()
		write(t, left, key, "goes on")
		c.WaitVoters(1)
		other := c.Members[2]
		other.Dir = consensustest.TempDir(t)
		other.Restart()
		c.WaitEqual()
	})
}

// encodeUnknown encodes an entry with a command of a newer version. Only a leader
// of that version would write it to the log.
func encodeUnknown(t *testing.T) []byte {
	t.Helper()
	cmd := consensustest.NewLeave("dc0/gw0")
	cmd.Body = nil
	raw, err := proto.Marshal(cmd)
	require.NoError(t, err)
	raw = protowire.AppendTag(raw, 999, protowire.BytesType)
	raw = protowire.AppendBytes(raw, nil)
	var entry []byte
	entry = protowire.AppendTag(entry, 1, protowire.BytesType)
	return protowire.AppendBytes(entry, raw)
}

func TestAnUnknownCommandIsNotWrittenToTheLog(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := consensustest.New(t, 3, consensustest.Options{})
		cmd := consensustest.NewLeave("dc0/gw0")
		cmd.Body = nil
		results, err := c.Members[1].Node.Propose(context.Background(), cmd)
		require.NoError(t, err)
		require.Equal(t, catalog.CodeUnknownCommand, results[0].Refusal.Code)
		write(t, c.Members[0], consensustest.Key{Owner: c.Members[0].ID, Name: "web"}, "x")
	})
}

// A directory of a build that had the log in raft.db is converted when it is opened,
// and back.
func TestMembersWithDifferentStoresAreOneCatalogAndChangeThem(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := consensustest.New(t, 3, consensustest.Options{LogStore: raftnode.Bolt})
		key := consensustest.Key{Owner: c.Members[0].ID, Name: "web"}
		for round, store := range []raftnode.LogStore{raftnode.WAL, raftnode.WAL, raftnode.Bolt, raftnode.WAL} {
			for i, m := range c.Members {
				value := fmt.Sprint(round, i)
				write(t, c.Leader(), key, value)
				m.Stop()
				cfg := m.Config()
				cfg.LogStore = store
				node, err := raftnode.Open(cfg)
				require.NoError(t, err)
				m.Node = node
				m.Start()
				c.Network.Rejoin(m.ID)
				c.WaitEqual()
				require.Equal(t, value, key.Get(m.Node.View()))
			}
		}
		c.WaitVoters(3)
	})
}

func TestHasStateOfAMissingDirectoryIsFalse(t *testing.T) {
	has, err := raftnode.HasState(filepath.Join(t.TempDir(), "none"))
	require.NoError(t, err)
	require.False(t, has)
}

func TestASeedIsServedUntilTheLogArrives(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := consensustest.New(t, 3, consensustest.Options{})
		m := c.Add(consensustest.DatacenterName(3), "gw0")
		c.Admit(m)
		m.Open()
		require.NoError(t, m.Node.Seed(c.Members[0].Node.View(), consensus.Electorate{}))
		require.Len(t, m.Node.View().Gateways(), 4)
		write(t, c.Members[0], consensustest.Key{Owner: c.Members[0].ID, Name: "web"}, "x")
		m.Start()
		c.WaitEqual()
	})
}

func TestAnUnknownCommandInTheLogStopsTheMember(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := consensustest.New(t, 1, consensustest.Options{})
		m := c.Leader()
		before := consensustest.Encode(t, m.Node.View())
		require.Error(t, m.Node.WriteRaw(encodeUnknown(t)))
		err := m.Wait()
		require.ErrorIs(t, err, catalog.ErrUnknownCommand)
		require.ErrorContains(t, err, "upgrade meshd")
		require.Equal(t, before, consensustest.Encode(t, m.Node.View()), "nothing after it was applied")
		m.Open()
		require.Equal(t, before, consensustest.Encode(t, m.Node.View()), "the entry was not recorded as applied")
		require.NoError(t, m.Node.Close())
	})
}

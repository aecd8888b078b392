package disk

import (
	"fmt"
	"os"
	"regexp"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/consensus/raftnode/logstore"
)

// BenchmarkPut writes small entries through a raft of one member: what the store of the
// log costs a member, without the network. disk-B/op is what the kernel counts, in
// whole pages.
func BenchmarkPut(b *testing.B) {
	for _, kind := range []Kind{WAL, Bolt} {
		for _, appliers := range []int{1, 64} {
			b.Run(fmt.Sprintf("%s/appliers=%d", kind, appliers), func(b *testing.B) { benchmarkPut(b, kind, appliers) })
		}
	}
}

func benchmarkPut(b *testing.B, kind Kind, appliers int) {
	s, log, leader := startAlone(b, b.TempDir(), kind)
	defer func() {
		require.NoError(b, leader.Shutdown().Error())
		require.NoError(b, s.Close())
	}()
	data := make([]byte, 300)
	var left atomic.Int64
	left.Store(int64(b.N))
	written, synced, onDisk := cost(b, log)
	b.ResetTimer()
	var wg sync.WaitGroup
	for range appliers {
		wg.Go(func() {
			for left.Add(-1) >= 0 {
				if err := leader.Apply(data, 0).Error(); err != nil {
					b.Error(err)
				}
			}
		})
	}
	wg.Wait()
	b.StopTimer()
	writtenNow, syncedNow, onDiskNow := cost(b, log)
	n := float64(b.N)
	b.ReportMetric(n/b.Elapsed().Seconds(), "puts/s")
	b.ReportMetric(float64(syncedNow-synced)/n, "fdatasyncs/op")
	b.ReportMetric(float64(writtenNow-written)/n, "written-B/op")
	b.ReportMetric(float64(onDiskNow-onDisk)/n, "disk-B/op")
	b.ReportMetric(0, "ns/op")
}

// countedLog counts the batches of a log.
type countedLog struct {
	raft.LogStore
	batches atomic.Uint64
}

func (l *countedLog) StoreLogs(entries []*raft.Log) error {
	l.batches.Add(1)
	return l.LogStore.StoreLogs(entries)
}

func (l *countedLog) StoreLog(entry *raft.Log) error { return l.StoreLogs([]*raft.Log{entry}) }

func (l *countedLog) IsMonotonic() bool { _, wal := l.LogStore.(*logstore.Store); return wal }

// cost returns the bytes and syncs of a log so far. A transaction of bbolt has two
// syncs.
func cost(b *testing.B, log *countedLog) (written, synced, onDisk uint64) {
	b.Helper()
	data, err := os.ReadFile("/proc/self/io")
	require.NoError(b, err)
	count := func(key string) uint64 {
		found := regexp.MustCompile(`(?m)^` + key + `: (\d+)$`).FindSubmatch(data)
		require.NotNil(b, found)
		n, err := strconv.ParseUint(string(found[1]), 10, 64)
		require.NoError(b, err)
		return n
	}
	if wal, ok := log.LogStore.(*logstore.Store); ok {
		stats := wal.Stats()
		return stats.Bytes, stats.Syncs, count("write_bytes")
	}
	return count("wchar"), 2 * log.batches.Load(), count("write_bytes")
}

// startAlone starts raft with one member, which leads.
func startAlone(b *testing.B, dir string, kind Kind) (*Store, *countedLog, *raft.Raft) {
	b.Helper()
	s, err := Open(dir, kind, nil, hclog.NewNullLogger())
	require.NoError(b, err)
	cfg := raft.DefaultConfig()
	cfg.LocalID, cfg.Logger, cfg.NoLegacyTelemetry = "a", hclog.NewNullLogger(), true
	cfg.SnapshotThreshold = 1 << 40
	_, trans := raft.NewInmemTransport("a")
	servers := raft.Configuration{Servers: []raft.Server{{Suffrage: raft.Voter, ID: "a", Address: "a"}}}
	require.NoError(b, s.Bootstrap(cfg, trans, servers))
	log := &countedLog{LogStore: s.logs()}
	cache, err := raft.NewLogCache(logCacheSize, log)
	require.NoError(b, err)
	leader, err := raft.NewRaft(cfg, machine{}, cache, s.bolt, s.snaps, trans)
	require.NoError(b, err)
	select {
	case <-leader.LeaderCh():
	case <-time.After(10 * time.Second):
		b.Fatal("no leader")
	}
	return s, log, leader
}

// BenchmarkOpen opens a directory with 20,000 entries that are not in a snapshot.
func BenchmarkOpen(b *testing.B) {
	for _, kind := range []Kind{WAL, Bolt} {
		b.Run(string(kind), func(b *testing.B) {
			dir := b.TempDir()
			s, err := Open(dir, kind, nil, hclog.NewNullLogger())
			require.NoError(b, err)
			var entries []*raft.Log
			for i := uint64(1); i <= 20_000; i++ {
				entries = append(entries, &raft.Log{Index: i, Term: 1, Data: make([]byte, 300), AppendedAt: time.Now()})
			}
			require.NoError(b, s.logs().StoreLogs(entries))
			require.NoError(b, s.Close())
			for b.Loop() {
				s, err := Open(dir, kind, nil, hclog.NewNullLogger())
				require.NoError(b, err)
				require.NoError(b, s.Replay(machine{}))
				require.NoError(b, s.Close())
			}
		})
	}
}

package replica_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/catalogpb"
	"github.com/meshway/meshway/consensus/catalog/entrycheck"
	"github.com/meshway/meshway/consensus/catalog/quota"
	"github.com/meshway/meshway/consensus/catalog/replica"
)

// BenchmarkApply changes services in a catalog of ten thousand services, with 1 and
// with 64 commands per entry.
func BenchmarkApply(b *testing.B) {
	for _, size := range []int{1, 64} {
		b.Run(fmt.Sprintf("commands=%d", size), func(b *testing.B) {
			m := federationOfThree(b)
			registerServices(m, 10_000)
			entries := changes(m, size)
			b.ReportAllocs()
			b.ResetTimer()
			for i := 0; b.Loop(); i++ {
				m.index++
				if _, err := m.state.Apply(m.index, entries[i%len(entries)]); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N*size)/b.Elapsed().Seconds(), "commands/s")
		})
	}
}

// BenchmarkCheckEntry checks the entries of BenchmarkApply.
func BenchmarkCheckEntry(b *testing.B) {
	for _, size := range []int{1, 64} {
		b.Run(fmt.Sprintf("commands=%d", size), func(b *testing.B) {
			m := federationOfThree(b)
			registerServices(m, 100)
			entries := changes(m, size)
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				if err := entrycheck.Check(entries[i%len(entries)]); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func TestEntriesOfThisBuildAreCheckedWithoutDecodingThem(t *testing.T) {
	for i, entry := range populated(t).log {
		allocated := testing.AllocsPerRun(1, func() { require.NoError(t, entrycheck.Check(entry)) })
		require.LessOrEqual(t, allocated, 4.0, "entry %d", i)
	}
}

// BenchmarkJudge judges calls that change services in a catalog of ten thousand.
func BenchmarkJudge(b *testing.B) {
	for _, size := range []int{1, 256} {
		b.Run(fmt.Sprintf("commands=%d", size), func(b *testing.B) {
			m := federationOfThree(b)
			registerServices(m, 10_000)
			cmds := make([]*catalogpb.Command, 0, size)
			for i := range size {
				s := testService("west", fmt.Sprint("s", i%100), fmt.Sprint("i", i), "10.2.1.1")
				cmds = append(cmds, m.sign(westGateway, catalog.NewPutServices([]catalog.Service{s})))
			}
			b.ReportAllocs()
			for b.Loop() {
				m.state.Judge(cmds, quota.DefaultLimits(), m.now)
			}
		})
	}
}

func registerServices(m *members, n int) {
	var services []catalog.Service
	for i := range n {
		services = append(services, testService("west", fmt.Sprint("s", i%100), fmt.Sprint("i", i), "10.2.0.1"))
	}
	for chunk := range slices.Chunk(services, 200) {
		m.must(westGateway, catalog.NewPutServices(chunk))
	}
}

// changes returns two entries that set different addresses for the same services.
func changes(m *members, size int) [][]byte {
	var entries [][]byte
	for e := range 2 {
		cmds := make([]*catalogpb.Command, 0, size)
		for i := range size {
			address := fmt.Sprintf("10.2.%d.1", e+1)
			s := testService("west", fmt.Sprint("s", i%100), fmt.Sprint("i", i*100), address)
			cmds = append(cmds, m.sign(westGateway, catalog.NewPutServices([]catalog.Service{s})))
		}
		entry, err := catalog.Marshal(cmds...)
		require.NoError(m.t, err)
		entries = append(entries, entry)
	}
	return entries
}

func BenchmarkViewServices(b *testing.B) {
	m := federationOfThree(b)
	registerServices(m, 10_000)
	b.ReportAllocs()
	for b.Loop() {
		if got := m.state.View().Services(replica.ServiceFilter{Namespace: "default", Name: "s7"}); len(got) != 100 {
			b.Fatal(len(got))
		}
	}
}

func BenchmarkSnapshot(b *testing.B) {
	m := federationOfThree(b)
	registerServices(m, 10_000)
	b.ReportAllocs()
	for b.Loop() {
		encode(b, m.state.View())
	}
}

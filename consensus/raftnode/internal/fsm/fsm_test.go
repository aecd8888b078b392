package fsm_test

import (
	"testing"

	"github.com/hashicorp/raft"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/catalogpb"
	"github.com/meshway/meshway/consensus/catalog/replica"
	"github.com/meshway/meshway/consensus/consensustest"
	"github.com/meshway/meshway/consensus/raftnode/internal/fsm"
)

func TestAStateMachineThatFailedMakesNoSnapshotAndAppliesNothing(t *testing.T) {
	var reported error
	m := fsm.New(noHistory{}, func(err error) { reported = err })
	answer := m.Apply(&raft.Log{Index: 5, Data: []byte{0xff}})
	require.Error(t, answer.(error))
	require.ErrorIs(t, reported, answer.(error))
	nothing, err := catalog.Marshal()
	require.NoError(t, err)
	require.Error(t, m.Apply(&raft.Log{Index: 6, Data: nothing}).(error))
	_, err = m.Snapshot()
	require.Error(t, err, "raft would record entry 6 as applied")
	require.Zero(t, m.View().Index())
}

// Raft applies entries in a goroutine of its own, and all others read. This is also
// the test of the catalog with the race detector: its own tests have one goroutine.
func TestReadersSeeWholeEntriesOnly(t *testing.T) {
	const gateway = catalog.GatewayID("dc0/gw0")
	m := fsm.New(noHistory{}, func(err error) { t.Error(err) })
	apply := func(cmds ...consensustest.Command) {
		for _, cmd := range cmds {
			cmd.Author, cmd.At = string(gateway), timestamppb.Now()
		}
		entry, err := catalog.Marshal(cmds...)
		require.NoError(t, err)
		results, ok := m.Apply(&raft.Log{Index: m.View().Index() + 1, Data: entry}).([]catalog.Result)
		require.True(t, ok)
		for _, r := range results {
			require.Nil(t, r.Refusal)
		}
	}
	apply(consensustest.NewInit(gateway.Datacenter(), "gw0"))

	done, torn := make(chan struct{}), make(chan int, 1)
	go func() {
		defer close(torn)
		for !isClosed(done) {
			if n := len(m.View().Services(replica.ServiceFilter{})); n%2 != 0 {
				torn <- n
				return
			}
		}
	}()
	a, b := consensustest.Key{Owner: gateway, Name: "a"}, consensustest.Key{Owner: gateway, Name: "b"}
	for range 200 {
		apply(a.Set("x"), b.Set("x"))
		apply(deletion(a), deletion(b))
	}
	close(done)
	n, ok := <-torn
	assert.False(t, ok, "a view has %d services", n)
}

// deletion returns the command that deletes a register.
func deletion(key consensustest.Key) consensustest.Command {
	var keys []catalog.ServiceKey
	for _, s := range key.Set("").GetPutServices().GetServices() {
		keys = append(keys, catalog.ServiceKey{
			Datacenter: key.Owner.Datacenter(), Namespace: s.GetNamespace(), Name: s.GetName(), Instance: s.GetInstance(),
		})
	}
	return catalog.NewDeleteServices(keys)
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

type noHistory struct{}

func (noHistory) Last() uint64                        { return 0 }
func (noHistory) Record(uint64, []*catalogpb.Command) {}
func (noHistory) Replaced(uint64)                     {}

package fsm_test

import (
	"testing"

	"github.com/hashicorp/raft"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/raftnode/internal/fsm"
)

func TestAStateMachineThatFailedMakesNoSnapshotAndAppliesNothing(t *testing.T) {
	var reported error
	m := fsm.New(func(err error) { reported = err })
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

package replica_test

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protodelim"
	"google.golang.org/protobuf/proto"

	"github.com/meshway/meshway/consensus"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/agreement"
	"github.com/meshway/meshway/consensus/catalog/catalogpb"
	"github.com/meshway/meshway/consensus/catalog/replica"
	"github.com/meshway/meshway/consensus/catalog/succession"
)

// record writes the log and the snapshot of this build to a new directory. Those of
// earlier builds are never written again: they are what federations have on disk.
var record = flag.String("record", "", "write testdata/recorded/`name`")

// firstRecorded is the index of the first entry of a recorded log.
const firstRecorded = 11

// everyCommand applies each kind of command at least once, with success.
func everyCommand(t testing.TB) *members {
	t.Helper()
	m := populated(t)
	m.must(westGateway, catalog.NewAllowPrefixes(ranges("203.0.113.0/24")))
	m.must(westGateway, catalog.NewAllowPrefixes(ranges("198.51.100.0/24")))
	m.must(westGateway, catalog.NewDisallowPrefixes(ranges("198.51.100.0/24")))
	m.must(eastGateway, catalog.NewRevokeToken("open"))
	m.must(westGateway, catalog.NewAddGateway(testGateway("west", "gw1")))
	m.must(westGateway, catalog.NewAddGateway(testGateway("west", "gw2")))
	m.must(westGateway, catalog.NewRemoveGateway("west/gw2"))
	dc := testDatacenter(t, "west", "10.2.0.0/16", "10.7.0.0/16")
	dc.Signature = testSignature(7)
	m.must(westGateway, catalog.NewUpdateDatacenter(dc))
	m.must(westGateway, catalog.NewPutServices([]catalog.Service{testService("west", "old", "a", "10.7.0.1")}))
	m.must(westGateway, catalog.NewDeleteServices([]catalog.ServiceKey{testService("west", "old", "a", "10.7.0.1").ServiceKey}))
	for _, name := range []string{"south", "gone"} {
		m.token("token-"+name, "")
		m.must(eastGateway, catalog.NewJoin(joinRequest(t, "token-"+name, name, fmt.Sprintf("10.%d.0.0/16", 10+len(name)))))
	}
	m.must(westGateway, catalog.NewRequestRemoval("gone"))
	m.must(westGateway, catalog.NewRequestRemoval("east"))
	m.must("south/gw0", catalog.NewLeave("south"))
	m.must(eastGateway, agreement.WithBudget(catalog.NewRemoveDatacenter("gone", false)))
	m.token("token-witness", "")
	m.must(eastGateway, catalog.NewJoin(witnessRequest(t, "token-witness")))
	have, _ := m.state.View().Datacenter("west")
	m.must(westGateway, catalog.NewReplaceCA(replaced(t, have, "west", "west 2")))
	have, _ = m.state.View().Datacenter("west")
	m.must(westGateway, catalog.NewReplaceCA(succession.Retire(have)))
	m.must(westGateway, catalog.NewSetLimits([]catalog.Limit{{Resource: "services", Most: 20_000}, {Resource: "memory", Most: 96 << 20}}))
	m.must(westGateway, consensus.OperationCommand(consensus.LeaderOperation{Kind: consensus.TransferLeadership, Target: westGateway}))
	m.must(eastGateway, consensus.OperationCommand(consensus.LeaderOperation{Kind: consensus.RemoveMember, Target: westGateway}))
	return m
}

func TestRecordingHasEveryKindOfCommand(t *testing.T) {
	kinds := map[string]bool{}
	for _, entry := range everyCommand(t).log {
		commands, err := catalog.Unmarshal(entry)
		require.NoError(t, err)
		for _, c := range commands {
			kinds[fmt.Sprintf("%T", c.GetBody())] = true
		}
	}
	assert.Len(t, kinds, (&catalogpb.Command{}).ProtoReflect().Descriptor().Oneofs().ByName("body").Fields().Len())
}

func writeRecording(t *testing.T, directory string, m *members) {
	t.Helper()
	require.NoError(t, os.Mkdir(directory, 0o755), "a recording is never replaced")
	var log bytes.Buffer
	for _, entry := range m.log {
		record := &catalogpb.Entry{}
		require.NoError(t, proto.Unmarshal(entry, record))
		_, err := protodelim.MarshalTo(&log, record)
		require.NoError(t, err)
	}
	require.NoError(t, os.WriteFile(filepath.Join(directory, "log"), log.Bytes(), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(directory, "snapshot"), encode(t, m.state.View()), 0o600))
}

// A member may run an older build than another, and starts from what an older build
// wrote.
func TestRecordedLogsAndSnapshotsOfEarlierBuildsGiveTheSameState(t *testing.T) {
	root := filepath.Join("testdata", "recorded")
	if *record != "" {
		writeRecording(t, filepath.Join(root, *record), everyCommand(t))
	}
	recordings, err := filepath.Glob(filepath.Join(root, "*"))
	require.NoError(t, err)
	var names []string
	for level := 1; level <= catalog.Level; level++ {
		names = append(names, filepath.Join(root, fmt.Sprint("level", level)))
	}
	assert.ElementsMatch(t, names, recordings, "each level has a recording")
	for _, directory := range recordings {
		t.Run(filepath.Base(directory), func(t *testing.T) {
			log, err := os.ReadFile(filepath.Join(directory, "log"))
			require.NoError(t, err)
			want, err := os.ReadFile(filepath.Join(directory, "snapshot"))
			require.NoError(t, err)

			state, index := replica.New(), uint64(firstRecorded)
			for r := bytes.NewReader(log); r.Len() > 0; index++ {
				entry := &catalogpb.Entry{}
				require.NoError(t, protodelim.UnmarshalFrom(r, entry))
				data, err := catalog.Marshal(entry.GetCommands()...)
				require.NoError(t, err)
				_, err = state.Apply(index, data)
				require.NoError(t, err)
			}
			assert.Equal(t, want, encode(t, state.View()), "the log gives the state that it gave")

			restored, err := replica.Decode(bytes.NewReader(want))
			require.NoError(t, err)
			assert.Equal(t, want, encode(t, restored.View()), "the snapshot keeps all that it has")
		})
	}
}

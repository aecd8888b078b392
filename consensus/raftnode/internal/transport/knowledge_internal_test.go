package transport

import (
	"math"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/consensus"
	"github.com/meshway/meshway/consensus/catalog"
)

func TestOnlyWhatAnHonestVoterSendsReachesRaft(t *testing.T) {
	member := Knowledge{
		Term: 7, Leader: "b/1", Configuration: configuration("a/1", "b/1", "c/1", "d/0"), Named: []catalog.GatewayID{"e/1"},
		InCatalog: func(id catalog.GatewayID) bool { return id == "f/1" },
	}
	joined := member
	joined.Configuration, joined.Named, joined.Leader = raft.Configuration{}, nil, ""
	admitted := joined
	admitted.Admitted = []catalog.GatewayID{"b/1"}
	asked := admitted
	asked.Named = []catalog.GatewayID{"e/1"}
	demoted := member
	demoted.Leader = "d/0"
	entry := func(index, term uint64, kind raft.LogType, data []byte) *raft.Log {
		return &raft.Log{Index: index, Term: term, Type: kind, Data: data}
	}
	entries := func(log ...*raft.Log) *raft.AppendEntriesRequest {
		return &raft.AppendEntriesRequest{RPCHeader: headerOf("b/1"), Term: 7, PrevLogEntry: 4, Entries: log}
	}
	from := func(id string) *raft.AppendEntriesRequest {
		return &raft.AppendEntriesRequest{RPCHeader: headerOf(id), Leader: []byte(id), Term: 7} //nolint:staticcheck // older raft reads it
	}
	const unrecorded = "refused and not recorded"
	alone := raft.EncodeConfiguration(configuration("b/1"))
	servers := func(list ...raft.Server) *raft.AppendEntriesRequest {
		return entries(entry(5, 7, raft.LogConfiguration, raft.EncodeConfiguration(raft.Configuration{Servers: list})))
	}
	extended := entry(5, 7, raft.LogNoop, nil)
	extended.Extensions = []byte("more")
	tests := map[string]struct {
		knowledge Knowledge
		sender    catalog.GatewayID
		command   any
		code      string
	}{
		"a voter":                            {member, "b/1", from("b/1"), ""},
		"one that others name as a voter":    {member, "e/1", from("e/1"), ""},
		"a member without a vote":            {member, "d/0", from("d/0"), consensus.CodeNotAVoter},
		"the leader, whose vote is taken":    {demoted, "d/0", from("d/0"), ""},
		"its request for a vote":             {demoted, "d/0", &raft.RequestVoteRequest{RPCHeader: headerOf("d/0"), Term: 7}, consensus.CodeNotAVoter},
		"a gateway in no configuration":      {member, "f/1", from("f/1"), consensus.CodeNotAVoter},
		"a gateway that the joiner knows":    {joined, "f/1", from("f/1"), ""},
		"one that the joiner does not know":  {joined, "b/1", from("b/1"), consensus.CodeNotAVoter},
		"a voter named in the answer":        {admitted, "b/1", from("b/1"), ""},
		"another gateway that it knows":      {admitted, "f/1", from("f/1"), consensus.CodeNotAVoter},
		"the snapshot of that one":           {admitted, "f/1", &raft.InstallSnapshotRequest{RPCHeader: headerOf("f/1"), Term: 7, LastLogTerm: 7, Configuration: alone}, consensus.CodeNotAVoter},
		"a voter that others name to it":     {asked, "e/1", from("e/1"), ""},
		"the joiner's term at the limit":     {admitted, "b/1", &raft.RequestVoteRequest{RPCHeader: headerOf("b/1"), Term: 7 + admittedTermLead}, ""},
		"the joiner's term beyond the limit": {admitted, "b/1", &raft.RequestVoteRequest{RPCHeader: headerOf("b/1"), Term: 8 + admittedTermLead}, consensus.CodeTermAhead},
		"the name of another":                {member, "c/1", from("b/1"), consensus.CodeSenderDiffers},
		"another name in the body":           {member, "b/1", &raft.AppendEntriesRequest{RPCHeader: headerOf("b/1"), Leader: []byte("c/1"), Term: 7}, consensus.CodeSenderDiffers}, //nolint:staticcheck // as above
		"no name":                            {member, "b/1", &raft.AppendEntriesRequest{Term: 7}, consensus.CodeSenderDiffers},
		"a term at the limit":                {member, "b/1", &raft.RequestVoteRequest{RPCHeader: headerOf("b/1"), Term: 7 + maxTermLead}, ""},
		"a term beyond the limit":            {member, "b/1", &raft.RequestVoteRequest{RPCHeader: headerOf("b/1"), Term: 8 + maxTermLead}, consensus.CodeTermAhead},
		"the highest term":                   {member, "b/1", &raft.RequestPreVoteRequest{RPCHeader: headerOf("b/1"), Term: math.MaxUint64}, consensus.CodeTermAhead},
		"a message without a term":           {member, "b/1", &raft.TimeoutNowRequest{RPCHeader: headerOf("b/1")}, ""},
		"an unknown message":                 {member, "b/1", "hello", consensus.CodeMalformed},
		"entries":                            {member, "b/1", entries(entry(5, 6, raft.LogNoop, nil), entry(6, 7, raft.LogConfiguration, alone)), ""},
		"an empty entry":                     {member, "b/1", entries(nil), consensus.CodeMalformed},
		"a gap":                              {member, "b/1", entries(entry(6, 7, raft.LogNoop, nil)), consensus.CodeMalformed},
		"an entry of a later term":           {member, "b/1", entries(entry(5, 8, raft.LogNoop, nil)), unrecorded},
		"an entry of an unknown type":        {member, "b/1", entries(entry(5, 7, 99, nil)), consensus.CodeMalformed},
		"a configuration on which it panics": {member, "b/1", entries(entry(5, 7, raft.LogConfiguration, []byte("no msgpack"))), consensus.CodeMalformed},
		"a command":                          {member, "b/1", entries(entry(5, 7, raft.LogCommand, entryOf(t, 16))), ""},
		"a command that is not supported":    {member, "b/1", entries(entry(5, 7, raft.LogCommand, []byte{0x0a, 0x00})), consensus.CodeUnknownEntry},
		"a command that is no protobuf":      {member, "b/1", entries(entry(5, 7, raft.LogCommand, []byte("\xff\xff"))), consensus.CodeMalformed},
		"a command that is too long":         {member, "b/1", entries(entry(5, 7, raft.LogCommand, entryOf(t, 1<<20))), consensus.CodeMalformed},
		"the first entry of a term":          {member, "b/1", entries(entry(5, 7, raft.LogNoop, nil), entry(6, 7, raft.LogBarrier, nil)), ""},
		"a noop with data":                   {member, "b/1", entries(entry(5, 7, raft.LogNoop, []byte("data"))), consensus.CodeMalformed},
		"a barrier with data":                {member, "b/1", entries(entry(5, 7, raft.LogBarrier, []byte("data"))), consensus.CodeMalformed},
		"an entry with extensions":           {member, "b/1", entries(extended), consensus.CodeMalformed},
		"voters and others":                  {member, "b/1", servers(raft.Server{ID: "b/1", Address: "b/1"}, raft.Server{ID: "d/0", Address: "d/0", Suffrage: raft.Nonvoter}), ""},
		"a configuration without voters":     {member, "b/1", servers(raft.Server{ID: "b/1", Address: "b/1", Suffrage: raft.Nonvoter}), consensus.CodeMalformed},
		"one with a gateway twice":           {member, "b/1", servers(raft.Server{ID: "b/1", Address: "b/1"}, raft.Server{ID: "b/1", Address: "b/1"}), consensus.CodeMalformed},
		"one with the address of another":    {member, "b/1", servers(raft.Server{ID: "b/1", Address: "c/1"}), consensus.CodeMalformed},
		"one with a gateway without a name":  {member, "b/1", servers(raft.Server{ID: "b/1", Address: "b/1"}, raft.Server{}), consensus.CodeMalformed},
		"one with an unknown suffrage":       {member, "b/1", servers(raft.Server{ID: "b/1", Address: "b/1"}, raft.Server{ID: "c/1", Address: "c/1", Suffrage: 9}), consensus.CodeMalformed},
		"peers of a former version":          {member, "b/1", entries(entry(5, 7, raft.LogAddPeerDeprecated, []byte("no msgpack"))), consensus.CodeMalformed},
		"a snapshot":                         {member, "b/1", &raft.InstallSnapshotRequest{RPCHeader: headerOf("b/1"), Term: 7, LastLogTerm: 7, Configuration: alone}, ""},
		"a snapshot of a later term":         {member, "b/1", &raft.InstallSnapshotRequest{RPCHeader: headerOf("b/1"), Term: 7, LastLogTerm: 8, Configuration: alone}, unrecorded},
		"a snapshot without members":         {member, "b/1", &raft.InstallSnapshotRequest{RPCHeader: headerOf("b/1"), Term: 7}, consensus.CodeMalformed},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			refusal := test.knowledge.check(test.sender, test.command)
			if test.code == "" {
				require.Nil(t, refusal)
				return
			}
			require.NotNil(t, refusal)
			if test.code == unrecorded {
				test.code = ""
			}
			assert.Equal(t, test.code, refusal.Code, refusal.Error())
		})
	}
}

func TestAMessageThatBeginsBeforeTheLogSkipsWhatIsApplied(t *testing.T) {
	message := func(previous, last, commit uint64) *raft.AppendEntriesRequest {
		m := &raft.AppendEntriesRequest{PrevLogEntry: previous, LeaderCommitIndex: commit}
		if previous > 0 {
			m.PrevLogTerm = 3
		}
		for index := previous + 1; index <= last; index++ {
			m.Entries = append(m.Entries, &raft.Log{Index: index, Term: 3})
		}
		return m
	}
	after := func(applied, last, commit uint64) *raft.AppendEntriesRequest {
		m := message(applied, last, commit)
		m.PrevLogEntry, m.PrevLogTerm = 0, 0
		return m
	}
	for name, c := range map[string]struct {
		first, applied uint64
		message, want  *raft.AppendEntriesRequest
	}{
		"the log has the entry before":                    {40, 50, message(45, 52, 60), message(45, 52, 60)},
		"the log begins with the entry before":            {45, 50, message(45, 52, 60), message(45, 52, 60)},
		"the snapshot ends with it":                       {51, 50, message(50, 52, 51), after(50, 52, 51)},
		"it is in the snapshot":                           {51, 50, message(45, 52, 51), after(50, 52, 51)},
		"all entries are in the snapshot":                 {51, 50, message(45, 48, 48), after(50, 0, 48)},
		"the commit index is beyond the message":          {51, 50, message(50, 52, 60), after(50, 52, 52)},
		"without entries, the commit index is before it":  {51, 50, message(50, 0, 60), after(50, 0, 50)},
		"the log is empty":                                {0, 50, message(45, 52, 51), after(50, 52, 51)},
		"nothing is applied":                              {0, 0, message(45, 52, 51), message(45, 52, 51)},
		"the entry before is later than what was applied": {60, 50, message(55, 57, 51), message(55, 57, 51)},
		"the first message of all":                        {0, 0, message(0, 2, 1), message(0, 2, 1)},
	} {
		t.Run(name, func(t *testing.T) {
			skipApplied(c.message, c.applied, c.first)
			assert.Equal(t, c.want.PrevLogEntry, c.message.PrevLogEntry)
			assert.Equal(t, c.want.PrevLogTerm, c.message.PrevLogTerm)
			assert.Equal(t, c.want.LeaderCommitIndex, c.message.LeaderCommitIndex)
			assert.ElementsMatch(t, c.want.Entries, c.message.Entries)
		})
	}
}

func TestWhatTheAdmittingMemberReportedCountsUntilThereIsAConfigurationAndForTenMinutes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewSenders()
		then := consensus.Electorate{Term: 7, Voters: []consensus.Voter{{ID: "b/1"}}}
		s.SetAdmitted(then, time.Now())
		k := s.Extend(Knowledge{Term: 1}, time.Now())
		assert.Equal(t, []catalog.GatewayID{"b/1"}, k.Admitted)
		assert.Equal(t, uint64(7), k.Term)
		assert.Equal(t, uint64(9), s.Extend(Knowledge{Term: 9}, time.Now()).Term)
		k = s.Extend(Knowledge{Term: 1, Configuration: configuration("a/1")}, time.Now())
		assert.Empty(t, k.Admitted)
		assert.Equal(t, uint64(1), k.Term)
		time.Sleep(admittedLifetime)
		k = s.Extend(Knowledge{Term: 1}, time.Now())
		assert.Empty(t, k.Admitted)
		assert.Equal(t, uint64(1), k.Term)
	})
}

package transport

import (
	"math"
	"testing"

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

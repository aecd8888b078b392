package refused

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/consensus"
)

func TestRefusedMessagesOfRaftAreAProblemForTenMinutes(t *testing.T) {
	now := time.Now()
	refused := consensus.Refused{
		Gateway: "west/gw", Code: consensus.CodeTermAhead, Count: 3, Last: now.Add(-time.Minute),
		Message: "AppendEntries of gateway west/gw has term 1099511627776, this member has 7: no honest member is that far ahead",
	}
	problems := Problems([]consensus.Refused{refused}, now)
	require.Len(t, problems, 1)
	assert.Equal(t, consensus.CodeTermAhead, problems[0].Code)
	assert.Contains(t, problems[0].Message, "term 1099511627776")
	assert.Empty(t, Problems([]consensus.Refused{refused}, now.Add(reportedFor)))
	refused.Code = consensus.CodeNotAVoter
	assert.Empty(t, Problems([]consensus.Refused{refused}, now), "a gateway that has just lost its vote")
	refused.Count = strayMessages + 1
	assert.Len(t, Problems([]consensus.Refused{refused}, now), 1)
}

func TestARefusedChangeOfALaterVersionHasTheUpgradeAsRemedy(t *testing.T) {
	now := time.Now()
	refused := consensus.Refused{Gateway: "west/gw", Code: consensus.CodeUnknownEntry, Count: 3, Last: now, Message: "command is unknown"}
	problems := Problems([]consensus.Refused{refused}, now)
	require.Len(t, problems, 1)
	assert.Contains(t, problems[0].Remedy, "upgrade meshd on this host")
	assert.Equal(t, "gateway west/gw", problems[0].Subject)
	refused.Gateway = "west"
	assert.Equal(t, "datacenter west", Problems([]consensus.Refused{refused}, now)[0].Subject, "other gateways of it")
}

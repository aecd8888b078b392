package quorum

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/meshway/meshway/consensus"
	"github.com/meshway/meshway/consensus/catalog"
)

// A CA can issue certificates to any number of gateways, whose enrolment is refused.
func TestRefusedCommandsOfOneDatacenterAreCountedInABoundedNumberOfSeries(t *testing.T) {
	var r Requests
	const commands = 10_000
	for i := range commands {
		r.CountRefusal(catalog.NewGatewayID("west", fmt.Sprint("gw", i)), catalog.CodeQuota, members{"east", "west"})
	}
	r.CountRefusal("west/gw0", catalog.CodeQuota, members{"east", "west"})
	r.CountRefusal("east/gw0", catalog.CodeQuota, members{"east", "west"})
	all := r.Refused()
	assert.LessOrEqual(t, len(all), maxRefused+2)
	total := map[catalog.DatacenterName]uint64{}
	for _, c := range all {
		total[c.Author.Datacenter()] += c.Count
	}
	assert.Equal(t, map[catalog.DatacenterName]uint64{"west": commands + 1, "east": 1}, total, "none is lost")
	assert.Contains(t, all, consensus.RefusedCommands{Author: "east/gw0", Code: catalog.CodeQuota, Count: 1})
	assert.Contains(t, all, consensus.RefusedCommands{Author: "west/gw0", Code: catalog.CodeQuota, Count: 2})
	assert.Contains(t, all, consensus.RefusedCommands{Author: "west", Code: catalog.CodeQuota, Count: commands - maxRefused})
}

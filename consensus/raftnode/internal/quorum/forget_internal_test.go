package quorum

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/meshway/meshway/consensus"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/budget"
	"github.com/meshway/meshway/consensus/catalog/sponsor"
)

// members are a catalog of datacenters that all count as themselves.
type members []catalog.DatacenterName

func (members) Settings() catalog.Settings          { return catalog.Settings{} }
func (members) Sponsors(time.Time) sponsor.Sponsors { return sponsor.Sponsors{} }
func (m members) Datacenters() (list []catalog.Datacenter) {
	for _, name := range m {
		list = append(list, catalog.Datacenter{Name: name})
	}
	return list
}

// Datacenters under ever new names join, make requests that count, and leave.
func TestNothingIsKeptOfDatacentersThatLeftLongAgo(t *testing.T) {
	var r Requests
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	present := members{"east", "west"}
	r.CountRefusal("west/gw0", catalog.CodeQuota, present)
	for i := range 1_000 {
		now = now.Add(time.Minute)
		former := catalog.DatacenterName(fmt.Sprint("former", i))
		r.CountRefusal(catalog.NewGatewayID(former, "gw0"), catalog.CodeQuota, append(members{former}, present...))
		r.Spend(budget.Removals, former, present, now)
		r.Confirmed(former, catalog.DatacenterName(fmt.Sprint("of", i)), present, now)
		assert.LessOrEqual(t, len(r.refused), maxFormer+2)
		assert.LessOrEqual(t, len(r.spent), 40, "those of twice the clock skew and the interval")
		assert.LessOrEqual(t, len(r.first), 10, "those of the time for a confirmation")
	}
	assert.Contains(t, r.Refused(), consensus.RefusedCommands{Author: "west/gw0", Code: catalog.CodeQuota, Count: 1}, "of a member")
	assert.False(t, r.Confirmed("east", "of999", present, now.Add(budget.ConfirmationTime)), "a request that waited too long")
}

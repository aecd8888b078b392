package member

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/meshway/meshway/consensus/catalog"
)

func TestJoinAfterALostDiskNamesTheRemovalOfTheFormerDatacenter(t *testing.T) {
	taken := &catalog.Refusal{Code: catalog.CodeNameTaken, Field: "datacenter", Message: `a datacenter "east" joined`, Remedy: "choose another name"}
	err := remedyForLostDisk(taken, "east")
	assert.ErrorContains(t, err, "run meshctl datacenter remove east in another datacenter, which refuses while the former one still answers, then join again")
	other := errors.New("no connection")
	assert.Equal(t, other, remedyForLostDisk(other, "east"))
	assert.NoError(t, remedyForLostDisk(nil, "east"))
}

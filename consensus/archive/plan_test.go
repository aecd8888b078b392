package archive_test

import (
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/meshway/meshway/consensus/archive"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/replica"
	"github.com/meshway/meshway/consensus/consensustest"
)

// federationOf returns a catalog with dc0 and the commands given.
func federationOf(t *testing.T, author catalog.GatewayID, more ...consensustest.Command) *replica.View {
	t.Helper()
	state := replica.New()
	cmds := append([]consensustest.Command{consensustest.NewInit("dc0", "gw0")}, more...)
	for i, cmd := range cmds {
		if cmd.Author == "" {
			cmd.Author = string(author)
		}
		cmd.At = timestamppb.New(time.Now())
		entry, err := catalog.Marshal(cmd)
		require.NoError(t, err)
		results, err := state.Apply(uint64(i+1), entry)
		require.NoError(t, err)
		require.Nil(t, results[0].Refusal)
	}
	return state.View()
}

func TestPlanNamesWhatARestoreChangesOfEachMember(t *testing.T) {
	const author = catalog.GatewayID("dc0/gw0")
	createOne, joinOne := consensustest.NewJoin(author, "dc1", "gw0")
	have := federationOf(t, author, createOne, joinOne, consensustest.Key{Owner: author, Name: "web"}.Set("x"))
	createTwo, joinTwo := consensustest.NewJoin(author, "dc2", "gw0")
	want := federationOf(t, author, createTwo, joinTwo,
		consensustest.NewAddGateway(author, "dc0", "gw1"),
		catalog.NewUpdateGateway(catalog.Gateway{Datacenter: "dc0", Name: "gw0", PublicKey: catalog.Key{1}, Endpoints: []string{"192.0.2.9:1"}}),
		catalog.NewUpdateDatacenter(catalog.Datacenter{Name: "dc0", Prefixes: []catalog.Prefix{{CIDR: netip.MustParsePrefix("10.77.0.0/16"), Kind: catalog.PodPrefix}}}),
	)
	plan := archive.Compare(have, want)
	assert.Empty(t, plan.OtherCA)
	var lines []string
	for _, c := range plan.Changes {
		lines = append(lines, c.Subject+": "+c.What)
	}
	assert.Equal(t, []string{
		"datacenter dc0: gets the prefixes 10.77.0.0/16 instead of 10.0.0.0/16",
		"datacenter dc1: is removed: it is not in the snapshot, and has to join again",
		"datacenter dc2: becomes a member again: it is not in the catalog",
		"gateway dc0/gw0: gets its earlier WireGuard key, until it reports the present one",
		"gateway dc0/gw0: gets its earlier endpoints, until it reports the present one",
		"gateway dc0/gw0: gets its earlier control addresses, until it reports the present one",
		"gateway dc0/gw1: is added",
		"gateway dc2/gw0: is added",
		"services: 0 instead of 1",
	}, lines)
	assert.Empty(t, archive.Compare(have, have).Changes)
}

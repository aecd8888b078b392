package consensus_test

import (
	"net/netip"
	"testing"

	"github.com/stretchr/testify/assert"
	"google.golang.org/protobuf/proto"

	"github.com/meshway/meshway/consensus"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/catalogpb"
)

// TestEveryKindOfCommandHasASubject covers kinds that are added later.
func TestEveryKindOfCommandHasASubject(t *testing.T) {
	kinds := (&catalogpb.Command{}).ProtoReflect().Descriptor().Oneofs().ByName("body").Fields()
	for i := range kinds.Len() {
		command := &catalogpb.Command{}
		body := command.ProtoReflect().NewField(kinds.Get(i))
		command.ProtoReflect().Set(kinds.Get(i), body)
		kind, subject := consensus.Describe(command)
		assert.NotEqual(t, "unknown", kind)
		assert.NotEmpty(t, subject, kind)
	}
	_, subject := consensus.Describe(proto.CloneOf(&catalogpb.Command{}))
	assert.Empty(t, subject)
}

func TestEventNamesTheRangesAndTheCA(t *testing.T) {
	ranges := []netip.Prefix{netip.MustParsePrefix("203.0.113.0/24"), netip.MustParsePrefix("198.51.100.0/24")}
	var many []netip.Prefix
	for i := range 6 {
		many = append(many, netip.PrefixFrom(netip.AddrFrom4([4]byte{11, byte(i)}), 16))
	}
	for want, command := range map[string]*catalogpb.Command{
		"ranges 203.0.113.0/24 198.51.100.0/24":                             catalog.NewAllowPrefixes(ranges),
		"without ranges 203.0.113.0/24":                                     catalog.NewDisallowPrefixes(ranges[:1]),
		"ranges 11.0.0.0/16 11.1.0.0/16 11.2.0.0/16 11.3.0.0/16 and 2 more": catalog.NewAllowPrefixes(many),
		"datacenter west":       catalog.NewUpdateDatacenter(catalog.Datacenter{Name: "west"}),
		"CA of datacenter west": catalog.NewReplaceCA(catalog.Datacenter{Name: "west"}),
	} {
		_, subject := consensus.Describe(command)
		assert.Equal(t, want, subject)
	}
}

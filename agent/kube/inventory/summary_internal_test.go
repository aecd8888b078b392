package inventory

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestColumnOfPrefixesIsShort(t *testing.T) {
	for want, cidrs := range map[string][]string{
		"":                           nil,
		"10.11.0.0/16":               {"10.11.0.0/16"},
		"10.11.0.0/16,10.111.0.0/16": {"10.11.0.0/16", "10.111.0.0/16"},
		"10.11.0.0/16 +3":            {"10.11.0.0/16", "fd00:10:11::/48", "10.111.0.0/16", "fd00:10:111::/112"},
		"2001:db8:1234:5678::/64 +1": {"2001:db8:1234:5678::/64", "10.0.0.0/8"},
	} {
		assert.Equal(t, want, summarizePrefixes(cidrs))
	}
}

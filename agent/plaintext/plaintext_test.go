package plaintext_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/agent/plaintext"
)

func TestTextIsDecodedWithoutItsByteOrderMark(t *testing.T) {
	for source, want := range map[string]string{"": "", "a\n": "a\n", "\ufeff": "", "\ufeffä": "ä", "a\ufeff": "a\ufeff"} {
		got, err := plaintext.Decode([]byte(source))
		require.NoError(t, err, "%q", source)
		assert.Equal(t, want, string(got))
	}
	for _, source := range []string{"\xff\xfea\x00", "\xfe\xff\x00a", "a\x00b\x00", "\xe4"} {
		_, err := plaintext.Decode([]byte(source))
		assert.EqualError(t, err, "it is not UTF-8 text; save it as UTF-8", "%q", source)
	}
}

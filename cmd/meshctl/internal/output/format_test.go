package output_test

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode"

	"github.com/goccy/go-yaml"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/cmd/meshctl/internal/output"
)

func TestReceivedTextCannotControlTheTerminalInAnyFormat(t *testing.T) {
	type view struct {
		Name   string            `json:"name"`
		Labels map[string]string `json:"labels"`
	}
	hostile := "\x1b[2J\u009b2J\x7f\u202eevil\u2028\ufeff\U000e0001\r\nend\x00 über <&>"
	want := view{Name: hostile, Labels: map[string]string{hostile: hostile}}
	replaced := func(newline string) string {
		return "?[2J?2J??evil????" + newline + "end? über <&>"
	}
	for _, format := range []output.Format{output.JSON, output.YAML} {
		var b strings.Builder
		require.NoError(t, format.Encode(&b, want))
		for _, r := range b.String() {
			assert.True(t, r == '\n' || unicode.IsPrint(r), "%s: %q is not printable in %q", format, r, b.String())
		}
		assert.Contains(t, b.String(), "über <&>", format)
		var got view
		if format == output.YAML {
			require.NoError(t, yaml.Unmarshal([]byte(b.String()), &got))
			assert.Equal(t, view{Name: replaced("\n"), Labels: map[string]string{replaced("?"): replaced("\n")}}, got, b.String())
			continue
		}
		require.NoError(t, json.Unmarshal([]byte(b.String()), &got))
		assert.Equal(t, want, got, b.String())
	}
}

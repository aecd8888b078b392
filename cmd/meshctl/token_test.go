package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/agent/control/controlpb"
	"github.com/meshway/meshway/cmd/meshctl/internal/fault"
)

func TestTokenMayFollowAByteOrderMark(t *testing.T) {
	file := filepath.Join(t.TempDir(), "token")
	require.NoError(t, os.WriteFile(file, []byte("\ufeff"+secretToken+"\r\n"), 0o600))
	for _, args := range [][]string{{"-"}, {"--token-file", file}} {
		o := &fakeMeshd{steps: joinSteps()}
		r := meshctlWithInput(t, o, "\ufeff"+secretToken+"\r\n", append([]string{"join"}, args...)...)
		require.Len(t, o.requests, 1, r.err)
		assert.Equal(t, secretToken, o.requests[0].(*controlpb.JoinFederationRequest).GetToken())
	}
}

func TestTokenInAnotherEncodingIsExplained(t *testing.T) {
	file := filepath.Join(t.TempDir(), "token")
	require.NoError(t, os.WriteFile(file, []byte("\xff\xfe"+strings.Join(strings.Split(secretToken, ""), "\x00")+"\x00"), 0o600))
	o := &fakeMeshd{steps: joinSteps()}
	r := meshctl(t, o, "join", "--token-file", file)
	assert.NotEqual(t, fault.ExitOK, r.code)
	assert.Contains(t, r.err, "it is not UTF-8 text; save it as UTF-8")
	assert.Empty(t, o.requests)
}

package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestTokenFileMayBeginWithAByteOrderMark(t *testing.T) {
	file := filepath.Join(t.TempDir(), "token")
	require.NoError(t, os.WriteFile(file, []byte("\ufeff mw1.secret \r\n"), 0o600))
	token, err := tokenOf(file)()
	require.NoError(t, err)
	assert.Equal(t, "mw1.secret", token)

	for text, want := range map[string]string{"\ufeff\n": "is empty", "\xff\xfem\x00": "it is not UTF-8 text; save it as UTF-8"} {
		require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
		_, err = tokenOf(file)()
		assert.ErrorContains(t, err, file)
		assert.ErrorContains(t, err, want)
	}
}

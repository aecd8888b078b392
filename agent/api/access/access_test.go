package access_test

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/agent/api/access"
)

const (
	readToken  = "r0123456789abcdef0123456789abcdef"
	writeToken = "w0123456789abcdef0123456789abcdef"
)

func file(t *testing.T, text string, mode os.FileMode) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "tokens")
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	require.NoError(t, os.Chmod(path, mode))
	return path
}

func TestOnlyProgramsWithATokenAreServed(t *testing.T) {
	var log bytes.Buffer
	tokens := access.NewTokens(file(t, "\ufeff# programs\nscraper read "+readToken+"\n\ndeployer  write\t"+writeToken+"\n", 0o600),
		slog.New(slog.NewTextHandler(&log, nil)))
	require.NoError(t, tokens.Check())
	program := ""
	handler := tokens.Require(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		program = access.ProgramOf(r.Context())
		w.WriteHeader(http.StatusNoContent)
	}))
	for _, test := range []struct {
		authorization, procedure string
		status                   int
		code                     string
	}{
		{"", "List", http.StatusUnauthorized, access.CodeUnauthenticated},
		{"Bearer ", "List", http.StatusUnauthorized, access.CodeUnauthenticated},
		{"Bearer " + readToken[1:], "List", http.StatusUnauthorized, access.CodeUnauthenticated},
		{"Bearer " + readToken + "x", "List", http.StatusUnauthorized, access.CodeUnauthenticated},
		{"Basic " + readToken, "List", http.StatusUnauthorized, access.CodeUnauthenticated},
		{"Bearer " + readToken, "List", http.StatusNoContent, ""},
		{"bearer " + readToken, "Get", http.StatusNoContent, ""},
		{"Bearer " + readToken, "Watch", http.StatusNoContent, ""},
		{"Bearer " + readToken, "Register", http.StatusForbidden, access.CodeReadOnly},
		{"Bearer " + readToken, "Deregister", http.StatusForbidden, access.CodeReadOnly},
		{"Bearer " + readToken, "Unknown", http.StatusForbidden, access.CodeReadOnly},
		{"Bearer " + writeToken, "Register", http.StatusNoContent, ""},
		{"Bearer " + writeToken, "List", http.StatusNoContent, ""},
	} {
		request := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/meshway.catalog.v1.Catalog/"+test.procedure, strings.NewReader("{}"))
		request.Header.Set("Content-Type", "application/json")
		request.Header.Set("Authorization", test.authorization)
		answer := httptest.NewRecorder()
		handler.ServeHTTP(answer, request)
		assert.Equal(t, test.status, answer.Code, "%+v", test)
		if test.code == "" {
			want := map[bool]string{true: "deployer", false: "scraper"}[strings.HasSuffix(test.authorization, writeToken)]
			assert.Equal(t, want, program, "%+v", test)
			continue
		}
		var body struct {
			Details []struct{ Debug struct{ Code, Remedy string } }
		}
		require.NoError(t, json.Unmarshal(answer.Body.Bytes(), &body), answer.Body.String())
		assert.Equal(t, test.code, body.Details[0].Debug.Code)
		assert.NotEmpty(t, body.Details[0].Debug.Remedy)
		assert.NotContains(t, answer.Body.String(), readToken)
	}
	assert.Empty(t, log.String())
}

func TestAFileThatCannotBeUsedRefusesAllProgramsAndIsExplained(t *testing.T) {
	for name, test := range map[string]struct {
		text string
		mode os.FileMode
		want string
	}{
		"mode":    {"a read " + readToken, 0o640, "has mode 0640, so that other users can read or change it; run chmod 600"},
		"UTF-16":  {"\xff\xfea\x00", 0o600, "it is not UTF-8 text; save it as UTF-8"},
		"empty":   {"# none\n", 0o600, "has no token"},
		"words":   {"\na " + readToken, 0o600, ":2: the line does not have three words"},
		"scope":   {"a all " + readToken, 0o600, ":1: the second word is neither read nor write"},
		"short":   {"a read " + readToken[:31], 0o600, "the token is shorter than 32 characters"},
		"repeats": {"a read " + readToken + "\na write " + writeToken, 0o600, ":2: the name is already in line 1"},
	} {
		t.Run(name, func(t *testing.T) {
			var log bytes.Buffer
			path := file(t, test.text, test.mode)
			tokens := access.NewTokens(path, slog.New(slog.NewTextHandler(&log, nil)))
			err := tokens.Check()
			require.ErrorContains(t, err, test.want)
			require.ErrorContains(t, err, path)
			_, ok := tokens.Find(readToken)
			assert.False(t, ok)
			assert.Contains(t, log.String(), "cannot be used")
			assert.NotContains(t, log.String(), readToken[:31])
		})
	}
	tokens := access.NewTokens(filepath.Join(t.TempDir(), "none"), slog.New(slog.DiscardHandler))
	require.ErrorIs(t, tokens.Check(), os.ErrNotExist)
}

func TestAChangedFileIsReadAgain(t *testing.T) {
	path := file(t, "a read "+readToken, 0o600)
	tokens := access.NewTokens(path, slog.New(slog.DiscardHandler))
	_, ok := tokens.Find(readToken)
	require.True(t, ok)
	next := file(t, "a read "+writeToken, 0o600)
	require.NoError(t, os.Rename(next, path))
	_, ok = tokens.Find(readToken)
	assert.False(t, ok, "the token was replaced")
	_, ok = tokens.Find(writeToken)
	assert.True(t, ok)
	require.NoError(t, os.Remove(path))
	_, ok = tokens.Find(writeToken)
	assert.False(t, ok)
}

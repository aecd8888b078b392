package debian_test

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/release/debian"
)

// mirror serves the paths of answers with their status, and the path as content.
func mirror(t *testing.T, answers map[string]int) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(answers[r.URL.Path])
		fmt.Fprint(w, r.URL.Path)
	}))
	t.Cleanup(server.Close)
	return server.URL
}

func at(base, path string) debian.Package {
	sum := sha256.Sum256([]byte(path))
	return debian.Package{Arch: "arm64", Name: path[1:], Version: "1.0-2", SHA256: hex.EncodeToString(sum[:]), URL: base + path}
}

func TestOneErrorNamesAllPackagesThatTheMirrorNoLongerHas(t *testing.T) {
	base := mirror(t, map[string]int{"/nftables": 404, "/libc6": 200, "/libmnl0": 410})
	cache := filepath.Join(t.TempDir(), "cache")
	_, err := debian.FetchAll(t.Context(), []debian.Package{at(base, "/nftables"), at(base, "/libc6"), at(base, "/libmnl0")}, cache)
	assert.EqualError(t, err, "the mirror of Debian no longer has nftables 1.0-2 (arm64), libmnl0 1.0-2 (arm64), because newer versions replaced them: "+
		"run deploy/image/update, which renews deploy/image/packages, and commit that file")
}

func TestOtherAnswersOfTheMirrorAreNotTakenForAVersionThatIsGone(t *testing.T) {
	base := mirror(t, map[string]int{"/busy": 503, "/changed": 200})
	changed := at(base, "/changed")
	changed.SHA256 = at(base, "/other").SHA256
	for want, p := range map[string]debian.Package{
		"/busy: the mirror answered 503 Service Unavailable: try again later": at(base, "/busy"),
		"the mirror has another file at ":                                     changed,
	} {
		cache := filepath.Join(t.TempDir(), "cache")
		_, err := debian.FetchAll(t.Context(), []debian.Package{p}, cache)
		assert.ErrorContains(t, err, want)
		assert.NotContains(t, err.Error(), "deploy/image/update")
		assert.NoDirExists(t, cache)
	}
}

func TestPackagesOfTheCacheNeedNoMirror(t *testing.T) {
	answers := map[string]int{"/libc6": 200}
	p := at(mirror(t, answers), "/libc6")
	cache := t.TempDir()
	first, err := debian.FetchAll(t.Context(), []debian.Package{p}, cache)
	require.NoError(t, err)
	answers["/libc6"] = 404
	second, err := debian.FetchAll(t.Context(), []debian.Package{p}, cache)
	require.NoError(t, err)
	assert.Equal(t, first, second)

	// A file that was cut off is not used.
	require.NoError(t, os.WriteFile(filepath.Join(cache, p.SHA256+".deb"), []byte("/li"), 0o644))
	_, err = debian.FetchAll(t.Context(), []debian.Package{p}, cache)
	assert.ErrorContains(t, err, "no longer has libc6 1.0-2 (arm64)")
}

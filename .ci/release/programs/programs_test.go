package programs_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/release/programs"
)

func TestUnknownPlatformIsRefused(t *testing.T) {
	all, err := programs.ParsePlatforms("")
	require.NoError(t, err)
	assert.Len(t, all, 6)
	some, err := programs.ParsePlatforms("linux/amd64,darwin/arm64")
	require.NoError(t, err)
	assert.Equal(t, []programs.Platform{{OS: "linux", Arch: "amd64"}, {OS: "darwin", Arch: "arm64"}}, some)
	for _, list := range []string{"linux", "linux/riscv64", "linux/amd64,", "plan9/amd64"} {
		_, err := programs.ParsePlatforms(list)
		assert.ErrorContains(t, err, "unknown platform", list)
		_, listed, _ := strings.Cut(err.Error(), "name some of ")
		known, err := programs.ParsePlatforms(listed)
		require.NoError(t, err, "the error has a list that is accepted")
		assert.Equal(t, all, known)
	}
}

func TestAgentIsBuiltForLinuxOnly(t *testing.T) {
	for _, p := range programs.Platforms() {
		want := []string{"meshctl"}
		if p.OS == "linux" {
			want = append(want, "meshd")
		}
		assert.Equal(t, want, p.Names(), p)
	}
	assert.Equal(t, "meshctl.exe", programs.Platform{OS: "windows", Arch: "amd64"}.File("meshctl"))
}

package deploy_test

import (
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// workflow is the part of a workflow of GitHub that the tests read.
type workflow struct {
	Permissions any
	Jobs        map[string]struct {
		Permissions    map[string]string
		TimeoutMinutes int `yaml:"timeout-minutes"`
		Steps          []step
	}
}

type step struct{ Uses, Run string }

func workflows(t *testing.T) map[string]workflow {
	t.Helper()
	files, err := filepath.Glob("../.github/workflows/*.yml")
	require.NoError(t, err)
	require.GreaterOrEqual(t, len(files), 3)
	parsed := map[string]workflow{}
	for _, file := range files {
		var w workflow
		require.NoError(t, yaml.Unmarshal([]byte(read(t, file)), &w), file)
		parsed[filepath.Base(file)] = w
	}
	return parsed
}

func TestWorkflowsUseActionsByCommitAndHaveFewRights(t *testing.T) {
	pinned := regexp.MustCompile(`^[a-z-]+/[a-z-]+@[0-9a-f]{40}$`)
	for file, w := range workflows(t) {
		assert.NotNil(t, w.Permissions, "%s has all rights", file)
		for name, job := range w.Jobs {
			assert.Positive(t, job.TimeoutMinutes, "job %s of %s", name, file)
			for _, step := range job.Steps {
				if step.Uses != "" {
					assert.Regexp(t, pinned, step.Uses, file)
				}
				assert.NotContains(t, step.Run, "${{", "%s: text of others would run as a command", file)
			}
		}
	}
}

// What writes runs no code of a dependency, and what runs it cannot write.
func TestReleaseIsBuiltWithoutTheRightToPublish(t *testing.T) {
	release := workflows(t)["release.yml"]
	assert.Equal(t, map[string]string{"contents": "read"}, release.Jobs["build"].Permissions)
	for _, step := range release.Jobs["publish"].Steps {
		assert.False(t, strings.Contains(step.Run, "make ") || strings.Contains(step.Run, "go "), step.Run)
	}
}

// The chart of a release is pinned to the repository and the digest of its image.
func TestReleasedChartNamesTheRepositoryToWhichTheWorkflowPushes(t *testing.T) {
	const repository = `"ghcr.io/${OWNER,,}/meshway"` // registries know lower case only
	release := workflows(t)["release.yml"]
	steps := func(job, part string) int {
		return len(slices.DeleteFunc(slices.Clone(release.Jobs[job].Steps), func(s step) bool { return !strings.Contains(s.Run, part) }))
	}
	assert.Equal(t, 1, steps("build", "make release VERSION=\"$VERSION\" IMAGE="+repository))
	assert.Equal(t, 1, steps("publish", "image="+repository+"\n"))
	assert.Equal(t, 1, steps("publish", `skopeo copy --all --preserve-digests --digestfile image.digest "oci-archive:dist/meshway_${number}_image.tar" "docker://$image:$number"`))
	assert.Equal(t, 1, steps("publish", `grep --quiet --line-regexp --fixed-strings "  repository: $image"`))
	assert.Contains(t, read(t, "../Makefile"), `$(if $(IMAGE),-image "$(IMAGE)")`)
	assert.Contains(t, read(t, "chart/meshway/values.yaml"), "\n  repository: ghcr.io/meshway/meshway\n")
}

func TestTargetsOfWorkflowsAreInTheMakefile(t *testing.T) {
	makefile := read(t, "../Makefile")
	target := regexp.MustCompile(`\bmake ([a-z][a-z-]*)`)
	found := 0
	for file, w := range workflows(t) {
		for _, job := range w.Jobs {
			for _, step := range job.Steps {
				for _, match := range target.FindAllStringSubmatch(step.Run, -1) {
					found++
					assert.Contains(t, makefile, "\n"+match[1]+":", file)
				}
			}
		}
	}
	assert.Positive(t, found)
}

func TestChangelogHasTheFormatOfKeepAChangelog(t *testing.T) {
	kinds := regexp.MustCompile(`(?m)^### (.*)$`)
	for _, match := range kinds.FindAllStringSubmatch(read(t, "CHANGELOG.md"), -1) {
		assert.Contains(t, []string{"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}, match[1])
	}
	releases := regexp.MustCompile(`(?m)^## (.*)$`).FindAllStringSubmatch(read(t, "CHANGELOG.md"), -1)
	require.NotEmpty(t, releases)
	assert.Equal(t, "[Unreleased]", releases[0][1])
	for _, release := range releases[1:] {
		assert.Regexp(t, `^\[\d+\.\d+\.\d+[^]]*\] - \d{4}-\d\d-\d\d$`, release[1])
	}
}

// TestVerificationInTheDocumentationIsThatOfWhatTheWorkflowSigns compares each command that
// verifies with the one that signs.
func TestVerificationInTheDocumentationIsThatOfWhatTheWorkflowSigns(t *testing.T) {
	var signs strings.Builder
	for _, step := range workflows(t)["release.yml"].Jobs["publish"].Steps {
		signs.WriteString(step.Run + "\n")
	}
	page := read(t, "docs/install.md")
	assert.Contains(t, page, "/.github/workflows/release.yml@refs/tags/v0.2.0\n")
	for signed, verified := range map[string]string{
		`cosign sign --yes --recursive "$image"`:                                            "cosign verify $by ghcr.io/meshway/meshway:0.2.0\n",
		`cosign attest --yes --type slsaprovenance1 --predicate predicate.json "$image"`:    "cosign verify-attestation $by --type slsaprovenance1 ghcr.io/meshway/meshway:0.2.0\n",
		`cosign sign --yes "ghcr.io/${OWNER,,}/charts/meshway@`:                             "cosign verify $by ghcr.io/meshway/charts/meshway:0.2.0\n",
		`cosign sign-blob --yes --bundle dist/SHA256SUMS.sigstore.json dist/SHA256SUMS`:     "cosign verify-blob $by --bundle SHA256SUMS.sigstore.json SHA256SUMS\n",
		`--predicate predicate.json --bundle dist/provenance.sigstore.json dist/SHA256SUMS`: "cosign verify-blob-attestation $by --bundle provenance.sigstore.json --type slsaprovenance1 SHA256SUMS\n",
		`"oci://ghcr.io/${OWNER,,}/charts"`:                                                 "oci://ghcr.io/meshway/charts/meshway",
	} {
		assert.Contains(t, signs.String(), signed)
		assert.Contains(t, page, verified)
	}
}

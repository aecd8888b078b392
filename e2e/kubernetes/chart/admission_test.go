package chart_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
)

// Roles grant verbs for all objects of a resource. What a policy limits it limits for each
// of them.
func TestPoliciesCoverEachWritingVerbOfTheRoles(t *testing.T) {
	all := objects(t, renderingOf("east").template(t))
	covered := map[string][]string{}
	for _, policy := range objectsOf[*admissionv1.ValidatingAdmissionPolicy](all) {
		for _, rule := range policy.Spec.MatchConstraints.ResourceRules {
			for _, operation := range rule.Operations {
				for _, resource := range rule.Resources {
					covered[resource] = append(covered[resource], strings.ToLower(string(operation)))
				}
			}
		}
	}
	require.Contains(t, covered, "meshnodes")
	for _, role := range objectsOf[*rbacv1.ClusterRole](all) {
		for _, rule := range role.Rules {
			for _, resource := range rule.Resources {
				for _, verb := range []string{"create", "update", "delete"} {
					if covered[resource] != nil && slices.Contains(rule.Verbs, verb) {
						assert.Contains(t, covered[resource], verb, "%s of %s, which %s grants", verb, resource, role.Name)
					}
				}
			}
		}
	}
}

func TestNotesWarnOfAClusterWithoutPolicies(t *testing.T) {
	for version, warns := range map[string]bool{"1.29.15": true, "1.30.0": false, "1.34.1-gke.1": false} {
		notes := notesOn(t, version)
		assert.Equal(t, warns, strings.Contains(notes, "Upgrade the cluster to Kubernetes 1.30"), "Kubernetes %s: %s", version, notes)
		manifests, err := helm(t, append([]string{"template", "meshway", chartDir, "--kube-version", version}, renderingOf("east").flags()...)...)
		require.NoError(t, err)
		assert.Equal(t, warns, !strings.Contains(manifests, "kind: ValidatingAdmissionPolicy"), "policies on Kubernetes %s", version)
	}
}

// notesOn returns the notes of an installation on a version of Kubernetes, from a copy of
// the chart that has them in a ConfigMap: only "helm template" has --kube-version.
func notesOn(t *testing.T, version string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "meshway")
	require.NoError(t, os.CopyFS(dir, os.DirFS(chartDir)))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "templates", "wrapped.yaml"), []byte(`
apiVersion: v1
kind: ConfigMap
metadata: {name: notes}
data:
  notes: {{ include (print .Template.BasePath "/NOTES.txt") . | quote }}
`), 0o600))
	args := []string{"template", "meshway", dir, "--namespace", "meshway-system", "--kube-version", version, "--show-only", "templates/wrapped.yaml"}
	out, err := helm(t, append(args, renderingOf("east").flags()...)...)
	require.NoError(t, err, out)
	maps := objectsOf[*corev1.ConfigMap](objects(t, out))
	require.Len(t, maps, 1)
	return maps["notes"].Data["notes"]
}

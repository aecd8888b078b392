//go:build linux && root

package federation_test

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/meshway/meshway/e2e/kubernetes/cluster"
	"github.com/meshway/meshway/e2e/kubernetes/install"
)

// hookTimeout is more than the time of a hook whose pod cannot start, with that of helm
// itself.
const hookTimeout = 40 * time.Second

func TestInstallationThatCannotWorkFailsSoonWithItsReason(t *testing.T) {
	tb := newClusters(t, 1, func(_ int, o *cluster.Options) { o.Nodes = 1 })
	c := tb.clusters[0]
	arguments, err := install.ChartArguments(within(t, timeout), c)
	require.NoError(t, err)
	helm := func(command string, more ...string) []string {
		return slices.Concat([]string{"helm", command}, arguments, more)
	}
	// The discard port of the node itself: nothing answers.
	noImage := []string{"--create-namespace", "--set", "image.repository=127.0.0.1:9/meshway,image.pullPolicy=IfNotPresent,preflight.timeoutSeconds=10"}
	uninstall := []string{"helm", "uninstall", "meshway", "--kube-context", c.Name(), "-n", namespace}

	t.Run("an image that cannot be pulled", func(t *testing.T) {
		message := tb.requireFailureSoon(t, helm("install", noImage...)...)
		assert.Contains(t, message, "meshway-image-check")
		out, err := c.Kubectl(within(t, timeout), "-n", namespace, "get", "daemonsets", "-o", "name")
		require.NoError(t, err)
		assert.Empty(t, out, "nothing was installed")
		assert.Contains(t, tb.requireFailureSoon(t, uninstall...), "meshway-uninstall")
		tb.exec(t, append(uninstall, "--no-hooks")...)
	})
	t.Run("an uninstallation without the image", func(t *testing.T) {
		tb.exec(t, helm("install", append(noImage, "--no-hooks")...)...)
		assert.Contains(t, tb.requireFailureSoon(t, uninstall...), "meshway-uninstall")
		tb.exec(t, append(uninstall, "--no-hooks")...)
	})
	t.Run("a cluster without a gateway", func(t *testing.T) {
		tb.exec(t, helm("install")...)
		tb.exec(t, uninstall...)
		assert.Contains(t, tb.exec(t, helm("install")...), "No node of this cluster has the label meshway.io/gateway=true yet")
		tb.exec(t, "kubectl", "--context", c.Name(), "label", "node", c.Nodes()[0].Name, "meshway.io/gateway=true")
		assert.NotContains(t, tb.exec(t, helm("upgrade")...), "No node of this cluster")
	})
	require.NoError(t, tb.AwaitAgent(within(t, timeout), c))
	tb.exec(t, tb.meshctl, "init", "--context", c.Name())
	t.Run("a wrong context", func(t *testing.T) {
		other := slices.Concat([]string{"helm", "install", "other"}, arguments[1:], []string{"--set", "fullnameOverride=other", "--dry-run=server"})
		assert.Contains(t, tb.requireFailureSoon(t, other...), "release meshway in namespace meshway-system has Meshway in this cluster already")
		message := tb.requireFailureSoon(t, helm("upgrade", "--set", "datacenter.name=elsewhere")...)
		assert.Contains(t, message, "this cluster is the datacenter "+c.Name()+" of a federation; check the kubectl context")
	})
	t.Run("custom resource definitions of an older chart", func(t *testing.T) { tb.testOldDefinitions(t, c, arguments[1], helm("upgrade")) })
	tb.exec(t, "helm", "test", "meshway", "--kube-context", c.Name(), "-n", namespace)
	t.Run("agents that run", func(t *testing.T) { tb.testAcknowledgement(t, c) })
	tb.exec(t, uninstall...)
}

// testAcknowledgement creates the Job of an uninstallation whose pod no node can run, and
// awaits that an agent gives it more time than the chart does.
func (tb *testbed) testAcknowledgement(t *testing.T, c *cluster.Cluster) {
	client := c.Client().BatchV1().Jobs(namespace)
	labels := map[string]string{"app": "waits"}
	_, err := client.Create(within(t, timeout), &batchv1.Job{
		ObjectMeta: metav1.ObjectMeta{Name: "meshway-uninstall"},
		Spec: batchv1.JobSpec{
			ActiveDeadlineSeconds: new(int64(15)),
			Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: corev1.PodSpec{
				NodeSelector: labels, RestartPolicy: corev1.RestartPolicyNever,
				Containers: []corev1.Container{{Name: "waits", Image: "meshway.test/none"}},
			}},
		},
	}, metav1.CreateOptions{})
	require.NoError(t, err)
	tb.await(t, "the acknowledgement of an agent", func(ctx context.Context) error {
		job, err := client.Get(ctx, "meshway-uninstall", metav1.GetOptions{})
		if err == nil && *job.Spec.ActiveDeadlineSeconds != 45 {
			err = fmt.Errorf("deadline is %d s", *job.Spec.ActiveDeadlineSeconds)
		}
		return err
	})
}

// testOldDefinitions runs the command that the error contains.
func (tb *testbed) testOldDefinitions(t *testing.T, c *cluster.Cluster, chartDir string, upgrade []string) {
	const annotation = "meshway.io/version"
	tb.exec(t, "kubectl", "--context", c.Name(), "annotate", "crd", "meshnodes.meshway.io", annotation+"-")
	message := tb.requireFailureSoon(t, upgrade...)
	command := regexp.MustCompile(`run (helm show crds CHART \| kubectl apply .* -f -)`).FindStringSubmatch(message)
	require.NotEmpty(t, command, message)
	command[1] = strings.NewReplacer("CHART", chartDir, "kubectl ", "kubectl --context "+c.Name()+" ").Replace(command[1])
	tb.exec(t, "sh", "-c", command[1])
	tb.exec(t, upgrade...)
}

// requireFailureSoon runs a command that must fail within hookTimeout and returns its
// error.
func (tb *testbed) requireFailureSoon(t *testing.T, argv ...string) string {
	t.Helper()
	start := time.Now()
	message := tb.requireFailure(t, argv...)
	assert.Less(t, time.Since(start), hookTimeout, "%s", argv)
	t.Logf("failed after %v: %s", time.Since(start).Round(time.Second), message)
	return message
}

package chart_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"

	"github.com/meshway/meshway/agent/config"
	"github.com/meshway/meshway/e2e/kubernetes/chart"
)

func TestRenderedChartMatchesTheGoldenFiles(t *testing.T) {
	for _, r := range renderings() {
		t.Run(r.name, func(t *testing.T) {
			manifests := r.template(t)
			if before, dashboard, ok := strings.Cut(manifests, "  meshway.json: |\n"); ok {
				// The dashboard is tested with its own file.
				_, after, _ := strings.Cut(dashboard, "\n---\n")
				manifests = before + "  meshway.json: …\n---\n" + after
			}
			golden(t, "testdata/"+r.name+".yaml", manifests)
			golden(t, "testdata/"+r.name+".notes.txt", r.notes(t))
		})
	}
}

func TestRenderedObjectsHaveOnlyFieldsOfTheAPI(t *testing.T) {
	for _, r := range renderings() {
		t.Run(r.name, func(t *testing.T) {
			assert.NotEmpty(t, objectsOf[*appsv1.DaemonSet](objects(t, r.template(t))))
		})
	}
}

func TestAgentAcceptsTheRenderedConfiguration(t *testing.T) {
	for _, r := range renderings() {
		t.Run(r.name, func(t *testing.T) {
			cfg := configuration(t, r)
			assert.True(t, cfg.Kubernetes.Enabled)
			assert.Equal(t, "node-1.example.org", cfg.Kubernetes.NodeName)
			if r.name == "tuned" {
				assert.EqualValues(t, "north-1", cfg.Datacenter)
				assert.Len(t, cfg.Kubernetes.PodCIDRs, 2)
				assert.Equal(t, "node-role.example.org/edge=", cfg.Kubernetes.GatewayLabel)
				assert.Equal(t, "kernel", cfg.WireGuard.Dataplane)
				assert.EqualValues(t, 0x40, cfg.Routing.Mark)
				assert.EqualValues(t, 16777216, cfg.Raft.SnapshotThreshold)
				assert.Equal(t, "bolt", cfg.Raft.Store)
				assert.Equal(t, "192.0.2.1:9500", cfg.Metrics.Listen.String())
				assert.Equal(t, "127.0.0.1:8500", cfg.Catalog.Listen.String())
			}
		})
	}
}

// configuration returns the agent's configuration from meshd.yaml and the command
// line of its container.
func configuration(t *testing.T, r rendering) config.Config {
	t.Helper()
	container := agentDaemonSet(t, r).Spec.Template.Spec.Containers[0]
	require.Equal(t, []string{"run", "--config=/etc/meshway/meshd.yaml", "--node-name=$(NODE_NAME)"}, container.Args)
	cfg, err := config.Parse(strings.NewReader(configurationText(t, r)), "meshd.yaml", config.Env{
		Hostname: "node-1", Overrides: config.Overrides{NodeName: "node-1.example.org"},
	})
	require.NoError(t, err)
	return cfg
}

func configurationText(t *testing.T, r rendering) string {
	t.Helper()
	return objectsOf[*corev1.ConfigMap](objects(t, r.template(t)))[agentDaemonSet(t, r).Name].Data["meshd.yaml"]
}

// agentDaemonSet returns the DaemonSet of the gateways.
func agentDaemonSet(t *testing.T, r rendering) *appsv1.DaemonSet {
	t.Helper()
	for _, d := range objectsOf[*appsv1.DaemonSet](objects(t, r.template(t))) {
		if d.Labels["app.kubernetes.io/component"] == "agent" {
			return d
		}
	}
	require.Fail(t, "there is no DaemonSet of the gateways")
	return nil
}

func TestPodsHaveMinimalPrivileges(t *testing.T) {
	for _, r := range renderings() {
		list := objects(t, r.template(t))
		for name, d := range objectsOf[*appsv1.DaemonSet](list) {
			checkPod(t, r.name+"/"+name, d.Spec.Template.Spec)
		}
		for name, job := range objectsOf[*batchv1.Job](list) {
			checkPod(t, r.name+"/"+name, job.Spec.Template.Spec)
		}
		for name, pod := range objectsOf[*corev1.Pod](list) {
			checkPod(t, r.name+"/"+name, pod.Spec)
			assert.False(t, pod.Spec.HostNetwork, name)
		}
	}
}

func checkPod(t *testing.T, name string, pod corev1.PodSpec) {
	t.Helper()
	assert.False(t, pod.HostPID || pod.HostIPC, name)
	assert.Equal(t, corev1.SeccompProfileTypeRuntimeDefault, pod.SecurityContext.SeccompProfile.Type, name)
	for _, c := range slices.Concat(pod.InitContainers, pod.Containers) {
		s := c.SecurityContext
		require.NotNil(t, s, "%s/%s", name, c.Name)
		assert.Nil(t, s.Privileged, "%s/%s", name, c.Name)
		assert.False(t, *s.AllowPrivilegeEscalation, "%s/%s", name, c.Name)
		assert.True(t, *s.ReadOnlyRootFilesystem, "%s/%s", name, c.Name)
		assert.Equal(t, []corev1.Capability{"ALL"}, s.Capabilities.Drop, "%s/%s", name, c.Name)
		assert.Subset(t, []corev1.Capability{"NET_ADMIN", "NET_RAW"}, s.Capabilities.Add, "%s/%s", name, c.Name)
	}
}

func TestRolesHaveNoWildcardsAndOneSecretByName(t *testing.T) {
	for name, rules := range rules(t, renderingOf("east")) {
		for _, rule := range rules {
			words := slices.Concat(rule.APIGroups, rule.Resources, rule.Verbs)
			assert.NotContains(t, words, "*", name)
			if slices.Contains(rule.Resources, "secrets") {
				assert.Equal(t, "meshway-system/meshway-gateway", name)
				assert.Equal(t, []string{"meshway-identity"}, rule.ResourceNames, name)
				assert.Equal(t, []string{"get", "list", "watch", "update"}, rule.Verbs, name)
				assert.Equal(t, []string{"secrets"}, rule.Resources, name)
			}
			if slices.Contains(rule.Resources, "configmaps") {
				assert.Equal(t, []string{"kubeadm-config"}, rule.ResourceNames, name)
			}
		}
	}
}

// rules returns the rules of all roles, by namespace and name.
func rules(t *testing.T, r rendering) map[string][]rbacv1.PolicyRule {
	t.Helper()
	found := map[string][]rbacv1.PolicyRule{}
	for _, object := range objects(t, r.template(t)) {
		switch role := object.(type) {
		case *rbacv1.ClusterRole:
			found["/"+role.Name] = role.Rules
		case *rbacv1.Role:
			found[role.Namespace+"/"+role.Name] = role.Rules
		}
	}
	require.Len(t, found, 5)
	return found
}

// An intruder on a node can use the service accounts of all pods on it.
func TestPodsOnNodesUseNoServiceAccountOrSecretOfGateways(t *testing.T) {
	for _, r := range renderings() {
		list := objects(t, r.template(t))
		accounts := map[string]string{}
		for name, set := range objectsOf[*appsv1.DaemonSet](list) {
			accounts[name] = set.Spec.Template.Spec.ServiceAccountName
			secrets := slices.ContainsFunc(set.Spec.Template.Spec.Volumes, func(v corev1.Volume) bool { return v.Secret != nil })
			assert.False(t, secrets && name != agentDaemonSet(t, r).Name, "%s: %s", r.name, name)
		}
		gateways := agentDaemonSet(t, r).Name
		gateway := accounts[gateways]
		delete(accounts, gateways)
		require.NotEmpty(t, accounts, r.name)
		for name, account := range accounts {
			assert.NotEqual(t, gateway, account, "%s: %s", r.name, name)
		}
	}
	for name, rules := range rules(t, renderingOf("east")) {
		if strings.HasSuffix(name, "/meshway-gateway") {
			continue
		}
		for _, rule := range rules {
			if !slices.Equal(rule.Resources, []string{"meshnodes"}) { // an admission policy restricts them
				assert.Subset(t, []string{"get", "list", "watch"}, rule.Verbs, "%s: %s", name, rule.Resources)
			}
		}
	}
}

func TestEachNodeHasOneAgent(t *testing.T) {
	for _, r := range renderings() {
		sets := objectsOf[*appsv1.DaemonSet](objects(t, r.template(t)))
		key, value, _ := strings.Cut(configuration(t, r).Kubernetes.GatewayLabel, "=")
		gateways := agentDaemonSet(t, r)
		assert.Equal(t, value, gateways.Spec.Template.Spec.NodeSelector[key], r.name)
		require.Contains(t, sets, gateways.Name+"-node")
		nodes := sets[gateways.Name+"-node"].Spec.Template.Spec
		assert.NotContains(t, nodes.NodeSelector, key, r.name)
		terms := nodes.Affinity.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution.NodeSelectorTerms
		require.NotEmpty(t, terms, r.name)
		for _, term := range terms { // a node has to match one of them
			assert.Contains(t, term.MatchExpressions, corev1.NodeSelectorRequirement{
				Key: key, Operator: corev1.NodeSelectorOpNotIn, Values: []string{value},
			}, r.name)
		}
		assert.NotEqual(t, gateways.Spec.Selector, sets[gateways.Name+"-node"].Spec.Selector, r.name)
	}
}

func TestIdentitySecretIsRenderedWithoutData(t *testing.T) {
	for _, r := range renderings() {
		cfg := configuration(t, r)
		secret := objectsOf[*corev1.Secret](objects(t, r.template(t)))[cfg.Kubernetes.IdentitySecret]
		require.NotNil(t, secret, r.name)
		assert.Equal(t, "meshway-system", secret.Namespace)
		assert.Empty(t, secret.Data, "an upgrade keeps the data that agents write")
		assert.Empty(t, secret.StringData)
	}
}

func TestUninstallJobIsAHookOfHelmUninstallOnly(t *testing.T) {
	r := renderingOf("east")
	jobs := objectsOf[*batchv1.Job](objects(t, r.template(t)))
	require.Contains(t, jobs, "meshway-uninstall")
	assert.Equal(t, "pre-delete", jobs["meshway-uninstall"].Annotations["helm.sh/hook"])
	assert.LessOrEqual(t, *jobs["meshway-uninstall"].Spec.ActiveDeadlineSeconds, int64(15), "helm soon fails where no agent ever ran")
	assert.Contains(t, agentDaemonSet(t, r).Spec.Template.Spec.Containers[0].Env, corev1.EnvVar{Name: "MESHWAY_DAEMONSET", Value: "meshway"})
	out, err := helm(t, "template", "meshway", chartDir, imageFlag, "--set", "datacenter.name=east,uninstall.enabled=false")
	require.NoError(t, err)
	assert.NotContains(t, objectsOf[*batchv1.Job](objects(t, out)), "meshway-uninstall")
}

func TestImageIsCheckedBeforeAnInstallationAndAnUpgrade(t *testing.T) {
	job := objectsOf[*batchv1.Job](objects(t, renderingOf("east").template(t)))["meshway-image-check"]
	require.NotNil(t, job)
	assert.Equal(t, "pre-install,pre-upgrade", job.Annotations["helm.sh/hook"])
	assert.Equal(t, int64(60), *job.Spec.ActiveDeadlineSeconds)
	pod := job.Spec.Template.Spec
	assert.Equal(t, agentDaemonSet(t, renderingOf("east")).Spec.Template.Spec.Containers[0].Image, pod.Containers[0].Image)
	assert.Empty(t, pod.ServiceAccountName, "that of the release does not exist yet")
	assert.Empty(t, pod.Volumes)
	out, err := helm(t, "template", "meshway", chartDir, imageFlag, "--set", "datacenter.name=east,preflight.enabled=false")
	require.NoError(t, err)
	assert.NotContains(t, objectsOf[*batchv1.Job](objects(t, out)), "meshway-image-check")
}

func TestRollingUpdateDrainsOneGatewayAtATime(t *testing.T) {
	r := rendering{"rolling", append(renderingOf("userspace").values, "testdata/values/rolling.yaml")}
	set := objectsOf[*appsv1.DaemonSet](objects(t, r.template(t)))["meshway-dataplane"].Spec
	require.Equal(t, appsv1.RollingUpdateDaemonSetStrategyType, set.UpdateStrategy.Type)
	assert.Equal(t, 1, set.UpdateStrategy.RollingUpdate.MaxUnavailable.IntValue())
	hook := set.Template.Spec.Containers[0].Lifecycle.PreStop.Exec.Command
	require.Equal(t, []string{"meshctl", "drain"}, hook[:2])
	drained := duration(t, hook, "--for=")
	assert.Greater(t, time.Duration(set.MinReadySeconds)*time.Second, drained, "the next gateway is drained when this one is in use again")
	grace := time.Duration(*set.Template.Spec.TerminationGracePeriodSeconds) * time.Second
	assert.Greater(t, grace, duration(t, hook, "--timeout="))
	turn, wait := duration(t, hook, "--turn="), duration(t, hook, "--wait=")
	assert.Greater(t, duration(t, hook, "--timeout="), turn+wait, "the timeout includes all waits")
	assert.Greater(t, turn, duration(t, hook, "--retry="), "the agent may be replaced first")
	assert.Greater(t, turn, drained, "the wait for the turn includes the drain of another gateway")
	assert.Greater(t, drained, 2*wait, "the gateway stays drained until its tunnels are replaced")
}

func duration(t *testing.T, command []string, flag string) time.Duration {
	t.Helper()
	for _, word := range command {
		if text, ok := strings.CutPrefix(word, flag); ok {
			d, err := time.ParseDuration(text)
			require.NoError(t, err)
			return d
		}
	}
	require.Fail(t, "no "+flag)
	return 0
}

func TestDataPlaneOutlivesTheAgent(t *testing.T) {
	r := renderingOf("userspace")
	sets := objectsOf[*appsv1.DaemonSet](objects(t, r.template(t)))
	require.Contains(t, sets, "meshway-dataplane")
	dataplane := sets["meshway-dataplane"]
	assert.Equal(t, appsv1.OnDeleteDaemonSetStrategyType, dataplane.Spec.UpdateStrategy.Type)
	for _, c := range dataplane.Spec.Template.Spec.Containers {
		assert.Equal(t, chart.AgentImage, c.Image)
	}
	for _, volume := range agentDaemonSet(t, r).Spec.Template.Spec.Volumes {
		assert.NotEqual(t, "tun", volume.Name, "the agent starts no data plane, which would end with it")
	}
}

//go:build linux && root

package federation_test

import (
	"context"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/meshway/meshway/agent/kube/meshnode"
	"github.com/meshway/meshway/e2e/kubernetes/cluster"
)

// The API server checks a request that is not carried out as any other.

func dryCreate() metav1.CreateOptions {
	return metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}}
}

func dryUpdate() metav1.UpdateOptions {
	return metav1.UpdateOptions{DryRun: []string{metav1.DryRunAll}}
}

func dryPatch() metav1.PatchOptions { return metav1.PatchOptions{DryRun: []string{metav1.DryRunAll}} }

func dryDelete() metav1.DeleteOptions {
	return metav1.DeleteOptions{DryRun: []string{metav1.DryRunAll}}
}

// attempt is a request that the API server refuses.
type attempt struct {
	what string
	do   func(ctx context.Context, as holder) error
}

// attempts returns what no credentials of a node permit.
func (r rogue) attempts(t *testing.T) []attempt {
	t.Helper()
	return slices.Concat(r.secrets(t), r.meshNodes(t), r.unlabelled(t), labelled(), r.tokens(t), r.pods(t), r.nodes())
}

// secrets reads each Secret of the namespace: the identity, the tokens of programs, and
// the values of the release.
func (r rogue) secrets(t *testing.T) []attempt {
	t.Helper()
	list, err := r.admin.kube.CoreV1().Secrets(namespace).List(within(t, timeout), metav1.ListOptions{})
	require.NoError(t, err)
	attempts := []attempt{{"list Secrets", func(ctx context.Context, as holder) error {
		_, err := as.kube.CoreV1().Secrets(namespace).List(ctx, metav1.ListOptions{})
		return err
	}}, {"watch the identity", func(ctx context.Context, as holder) error {
		w, err := as.kube.CoreV1().Secrets(namespace).Watch(ctx, metav1.ListOptions{FieldSelector: "metadata.name=meshway-identity"})
		if err == nil {
			w.Stop()
		}
		return err
	}}}
	var names []string
	for _, s := range list.Items {
		names = append(names, s.Name)
		attempts = append(attempts, attempt{"get Secret " + s.Name, func(ctx context.Context, as holder) error {
			_, err := as.kube.CoreV1().Secrets(namespace).Get(ctx, s.Name, metav1.GetOptions{})
			return err
		}})
	}
	require.Subset(t, names, []string{"meshway-identity", "programs", "sh.helm.release.v1.meshway.v1"})
	return attempts
}

// meshNodes writes the MeshNodes of other nodes, also one that does not exist.
func (r rogue) meshNodes(t *testing.T) []attempt {
	t.Helper()
	objects := func(as holder) dynamic.ResourceInterface { return as.objects.Resource(meshnode.Kind().Resource()) }
	foreign, err := objects(r.admin).Get(within(t, timeout), r.other.Name, metav1.GetOptions{})
	require.NoError(t, err)
	gateway, err := r.admin.kube.CoreV1().Nodes().Get(within(t, timeout), r.gateway.Name, metav1.GetOptions{})
	require.NoError(t, err)
	missing := foreign.DeepCopy()
	missing.SetResourceVersion("")
	missing.SetUID("")
	missing.SetName(gateway.Name)
	missing.SetOwnerReferences([]metav1.OwnerReference{{APIVersion: "v1", Kind: "Node", Name: gateway.Name, UID: gateway.UID}})
	return []attempt{
		{"update the MeshNode of another node", func(ctx context.Context, as holder) error {
			_, err := objects(as).Update(ctx, foreign, dryUpdate())
			return err
		}},
		{"delete the MeshNode of another node", func(ctx context.Context, as holder) error {
			return objects(as).Delete(ctx, foreign.GetName(), dryDelete())
		}},
		{"delete all MeshNodes", func(ctx context.Context, as holder) error {
			return objects(as).DeleteCollection(ctx, dryDelete(), metav1.ListOptions{})
		}},
		{"create the MeshNode of another node", func(ctx context.Context, as holder) error {
			_, err := objects(as).Create(ctx, missing, dryCreate())
			return err
		}},
	}
}

// unlabelled writes Services, EndpointSlices and ServiceImports that Meshway does not
// own, and takes one over.
func (r rogue) unlabelled(t *testing.T) []attempt {
	t.Helper()
	service, err := r.admin.kube.CoreV1().Services("default").Get(within(t, timeout), "kubernetes", metav1.GetOptions{})
	require.NoError(t, err)
	list, err := r.admin.kube.DiscoveryV1().EndpointSlices("default").List(within(t, timeout), metav1.ListOptions{LabelSelector: discoveryv1.LabelServiceName + "=kubernetes"})
	require.NoError(t, err)
	require.NotEmpty(t, list.Items)
	foreign := &list.Items[0]
	stolen := foreign.DeepCopy()
	stolen.Labels[discoveryv1.LabelManagedBy] = "meshway"
	created := &discoveryv1.EndpointSlice{ObjectMeta: metav1.ObjectMeta{Name: "rogue"}, AddressType: discoveryv1.AddressTypeIPv4, Endpoints: []discoveryv1.Endpoint{}}
	port := corev1.ServiceSpec{Ports: []corev1.ServicePort{{Port: 80}}}
	return []attempt{
		{"create a Service without the label", func(ctx context.Context, as holder) error {
			_, err := as.kube.CoreV1().Services("default").Create(ctx, &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: "rogue"}, Spec: port}, dryCreate())
			return err
		}},
		{"update a foreign Service", func(ctx context.Context, as holder) error {
			_, err := as.kube.CoreV1().Services("default").Update(ctx, service, dryUpdate())
			return err
		}},
		{"delete a foreign Service", func(ctx context.Context, as holder) error {
			return as.kube.CoreV1().Services("default").Delete(ctx, service.Name, dryDelete())
		}},
		{"create an EndpointSlice without the label", func(ctx context.Context, as holder) error {
			_, err := as.kube.DiscoveryV1().EndpointSlices("default").Create(ctx, created, dryCreate())
			return err
		}},
		{"take over a foreign EndpointSlice", func(ctx context.Context, as holder) error {
			_, err := as.kube.DiscoveryV1().EndpointSlices("default").Update(ctx, stolen, dryUpdate())
			return err
		}},
		{"delete a foreign EndpointSlice", func(ctx context.Context, as holder) error {
			return as.kube.DiscoveryV1().EndpointSlices("default").Delete(ctx, foreign.Name, dryDelete())
		}},
		{"create a ServiceImport without the label", func(ctx context.Context, as holder) error {
			object := objectOf("multicluster.x-k8s.io/v1beta1", "ServiceImport")
			object.SetLabels(nil)
			object.Object["spec"] = map[string]any{"type": "ClusterSetIP", "ports": []any{map[string]any{"port": int64(80)}}}
			_, err := as.objects.Resource(resourceOf(object, "serviceimports")).Namespace("default").Create(ctx, object, dryCreate())
			return err
		}},
	}
}

// objectOf returns an object with the label of Meshway. A caller with the right to write
// it would receive another refusal, because it is not complete.
func objectOf(version, kind string) *unstructured.Unstructured {
	object := &unstructured.Unstructured{Object: map[string]any{}}
	object.SetAPIVersion(version)
	object.SetKind(kind)
	object.SetName("rogue")
	object.SetLabels(map[string]string{"app.kubernetes.io/managed-by": "meshway", discoveryv1.LabelManagedBy: "meshway"})
	return object
}

func resourceOf(object *unstructured.Unstructured, plural string) schema.GroupVersionResource {
	return object.GroupVersionKind().GroupVersion().WithResource(plural)
}

// labelled writes what gateways and Helm write, with the label of Meshway.
func labelled() []attempt {
	var attempts []attempt
	for _, kind := range []struct {
		version, kind, plural, namespace, name string
		status                                 bool
	}{
		{version: "v1", kind: "Service", plural: "services", namespace: "default"},
		{version: "discovery.k8s.io/v1", kind: "EndpointSlice", plural: "endpointslices", namespace: "default"},
		{version: "multicluster.x-k8s.io/v1beta1", kind: "ServiceImport", plural: "serviceimports", namespace: "default", status: true},
		{version: "multicluster.x-k8s.io/v1beta1", kind: "ServiceExport", plural: "serviceexports", namespace: "default", status: true},
		{version: "meshway.io/v1alpha1", kind: "Datacenter", plural: "datacenters", name: "east", status: true},
		{version: "about.k8s.io/v1beta1", kind: "ClusterProperty", plural: "clusterproperties", name: "cluster.clusterset.k8s.io"},
		{version: "coordination.k8s.io/v1", kind: "Lease", plural: "leases", namespace: namespace, name: "meshway-mcs"},
		{version: "v1", kind: "Secret", plural: "secrets", namespace: namespace, name: "meshway-identity"},
		{version: "v1", kind: "ConfigMap", plural: "configmaps", namespace: namespace, name: "meshway"},
		{version: "apps/v1", kind: "DaemonSet", plural: "daemonsets", namespace: namespace, name: "meshway-node"},
		{version: "batch/v1", kind: "Job", plural: "jobs", namespace: namespace, name: "meshway-uninstall"},
		{version: "rbac.authorization.k8s.io/v1", kind: "ClusterRoleBinding", plural: "clusterrolebindings", name: "meshway-gateway"},
		{version: "rbac.authorization.k8s.io/v1", kind: "RoleBinding", plural: "rolebindings", namespace: namespace, name: "meshway-gateway"},
		{version: "admissionregistration.k8s.io/v1", kind: "ValidatingAdmissionPolicy", plural: "validatingadmissionpolicies", name: "meshway-meshnodes"},
		{version: "admissionregistration.k8s.io/v1", kind: "ValidatingAdmissionPolicyBinding", plural: "validatingadmissionpolicybindings", name: "meshway-meshnodes"},
	} {
		object := objectOf(kind.version, kind.kind)
		object.SetNamespace(kind.namespace)
		if kind.name != "" {
			object.SetName(kind.name)
		}
		objects := func(as holder) dynamic.ResourceInterface {
			return as.objects.Resource(resourceOf(object, kind.plural)).Namespace(kind.namespace)
		}
		attempts = append(attempts,
			attempt{"create a " + kind.kind, func(ctx context.Context, as holder) error {
				_, err := objects(as).Create(ctx, object, dryCreate())
				return err
			}},
			attempt{"update a " + kind.kind, func(ctx context.Context, as holder) error {
				_, err := objects(as).Update(ctx, object, dryUpdate())
				return err
			}},
			attempt{"delete a " + kind.kind, func(ctx context.Context, as holder) error {
				return objects(as).Delete(ctx, object.GetName(), dryDelete())
			}})
		if kind.status {
			attempts = append(attempts, attempt{"update the status of a " + kind.kind, func(ctx context.Context, as holder) error {
				_, err := objects(as).UpdateStatus(ctx, object, dryUpdate())
				return err
			}})
		}
	}
	return attempts
}

// tokens requests tokens of the gateways, and of the agent of another node.
func (r rogue) tokens(t *testing.T) []attempt {
	t.Helper()
	own, other, gateway := agentOf(t, r.admin, r.own.Name), agentOf(t, r.admin, r.other.Name), agentOf(t, r.admin, r.gateway.Name)
	require.Equal(t, "meshway-gateway", gateway.Spec.ServiceAccountName)
	var attempts []attempt
	for _, request := range []struct {
		what, account string
		pod           *corev1.Pod
	}{
		{"a token of the gateways", "meshway-gateway", nil},
		{"the token of a gateway", "meshway-gateway", &gateway},
		{"a token of the gateways for the own agent", "meshway-gateway", &own},
		{"the token of the agent of another node", "meshway", &other},
		{"a token that names no node", "meshway", nil},
	} {
		attempts = append(attempts, attempt{"request " + request.what, func(ctx context.Context, as holder) error {
			_, err := requestToken(ctx, as, request.account, request.pod)
			return err
		}})
	}
	return append(attempts, attempt{"impersonate a gateway", func(ctx context.Context, as holder) error {
		config := rest.CopyConfig(as.config)
		config.Impersonate.UserName = "system:serviceaccount:" + namespace + ":meshway-gateway"
		client, err := kubernetes.NewForConfig(config)
		if err == nil {
			_, err = client.CoreV1().Secrets(namespace).Get(ctx, "meshway-identity", metav1.GetOptions{})
		}
		return err
	}})
}

// mirror returns a pod as a kubelet creates it for a static one.
func (r rogue) mirror(t *testing.T) *corev1.Pod {
	t.Helper()
	node, err := r.admin.kube.CoreV1().Nodes().Get(within(t, timeout), r.own.Name, metav1.GetOptions{})
	require.NoError(t, err)
	controller := true
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Name: "rogue-" + node.Name, Namespace: namespace, Annotations: map[string]string{corev1.MirrorPodAnnotationKey: "rogue"},
			OwnerReferences: []metav1.OwnerReference{{APIVersion: "v1", Kind: "Node", Name: node.Name, UID: node.UID, Controller: &controller}},
		},
		Spec: corev1.PodSpec{NodeName: node.Name, Containers: []corev1.Container{{Name: "rogue", Image: "meshway.test/meshway:1"}}},
	}
}

// pods creates pods with the rights of gateways on the own node, and enters a gateway.
func (r rogue) pods(t *testing.T) []attempt {
	t.Helper()
	static := r.mirror(t)
	_, err := program(t, r.own, cluster.Kubelet).kube.CoreV1().Pods(namespace).Create(within(t, timeout), static, dryCreate())
	require.NoError(t, err, "what follows is refused for another reason than an invalid pod")
	volume := func(source corev1.VolumeSource) *corev1.Pod {
		p := static.DeepCopy()
		p.Spec.Volumes = []corev1.Volume{{Name: "rogue", VolumeSource: source}}
		return p
	}
	account := static.DeepCopy()
	account.Spec.ServiceAccountName = "meshway-gateway"
	ordinary := account.DeepCopy()
	ordinary.Annotations, ordinary.OwnerReferences = nil, nil
	token := []corev1.VolumeProjection{{ServiceAccountToken: &corev1.ServiceAccountTokenProjection{Path: "token"}}}
	identity := []corev1.VolumeProjection{{Secret: &corev1.SecretProjection{LocalObjectReference: corev1.LocalObjectReference{Name: "meshway-identity"}}}}
	attempts := []attempt{}
	for what, pod := range map[string]*corev1.Pod{
		"a pod with the account of the gateways":        ordinary,
		"a mirror pod with the account of the gateways": account,
		"a mirror pod with the identity":                volume(corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: "meshway-identity"}}),
		"a mirror pod with the identity, projected":     volume(corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{Sources: identity}}),
		"a mirror pod with a token":                     volume(corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{Sources: token}}),
	} {
		attempts = append(attempts, attempt{"create " + what, func(ctx context.Context, as holder) error {
			_, err := as.kube.CoreV1().Pods(namespace).Create(ctx, pod, dryCreate())
			return err
		}})
	}
	gateway := agentOf(t, r.admin, r.gateway.Name)
	return append(attempts,
		attempt{"delete the pod of a gateway", func(ctx context.Context, as holder) error {
			return as.kube.CoreV1().Pods(namespace).Delete(ctx, gateway.Name, dryDelete())
		}},
		attempt{"update the status of the pod of a gateway", func(ctx context.Context, as holder) error {
			_, err := as.kube.CoreV1().Pods(namespace).UpdateStatus(ctx, &gateway, dryUpdate())
			return err
		}},
		attempt{"execute a program in the pod of a gateway", func(ctx context.Context, as holder) error {
			return as.kube.CoreV1().RESTClient().Post().Namespace(namespace).Resource("pods").Name(gateway.Name).SubResource("exec").
				Param("command", "meshctl").Param("stdout", "true").Do(ctx).Error()
		}})
}

// nodes tries to label its own node as a gateway, and to change other nodes.
func (r rogue) nodes() []attempt {
	patch := func(node, text string) func(context.Context, holder) error {
		return func(ctx context.Context, as holder) error {
			_, err := as.kube.CoreV1().Nodes().Patch(ctx, node, types.StrategicMergePatchType, []byte(text), dryPatch())
			return err
		}
	}
	labelled := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "rogue", Labels: map[string]string{restrictedLabel: "true"}}}
	return []attempt{
		{"make the own node a gateway", patch(r.own.Name, `{"metadata":{"labels":{"`+restrictedLabel+`":"true"}}}`)},
		{"take the label from a gateway", patch(r.gateway.Name, `{"metadata":{"labels":{"`+restrictedLabel+`":null}}}`)},
		{"set the pod ranges of another node", patch(r.other.Name, `{"metadata":{"annotations":{"meshway.io/pod-cidrs":"10.99.0.0/24"}}}`)},
		{"create a Node that is a gateway", func(ctx context.Context, as holder) error {
			_, err := as.kube.CoreV1().Nodes().Create(ctx, labelled, dryCreate())
			return err
		}},
		{"delete the own Node, to create it with the label", func(ctx context.Context, as holder) error {
			return as.kube.CoreV1().Nodes().Delete(ctx, r.own.Name, dryDelete())
		}},
	}
}

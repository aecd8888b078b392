package kube_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/meshway/meshway/agent/kube"
	"github.com/meshway/meshway/agent/kube/siblingstest"
)

func TestSiblingsFulfilTheirContract(t *testing.T) { siblingstest.RunFake(t) }

func TestReadGatewaysListsTheNodesWithTheGatewayLabel(t *testing.T) {
	node := func(name, value string) *corev1.Node {
		return &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"gateway": value}}}
	}
	s, err := kube.NewSiblings(kube.SiblingsConfig{
		Client: fake.NewClientset(node("b.example.org", "true"), node("a", "true"), node("c", "false")), GatewayLabel: "gateway=true",
	})
	require.NoError(t, err)
	names, err := s.ReadGateways(t.Context())
	require.NoError(t, err)
	assert.Equal(t, []string{"a", "b-example-org"}, names)
}

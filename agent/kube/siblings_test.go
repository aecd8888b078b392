package kube_test

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/meshway/meshway/agent/identity"
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

func TestPrivateKeyOfTheCAIsNeverPrinted(t *testing.T) {
	shared := identity.SharedState{Key: identity.CAKey("very secret")}
	var log strings.Builder
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "shared", shared, "key", shared.Key)
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "shared", shared, "key", shared.Key)
	for _, text := range []string{fmt.Sprintf("%v %+v %#v %s %q", shared, shared, shared, shared.Key, shared.Key), log.String()} {
		assert.NotContains(t, text, "very secret")
		assert.NotContains(t, text, fmt.Sprintf("%x", "very secret"))
		assert.NotContains(t, text, "118, 101") // a list of bytes
	}
}

package siblingstest

import (
	"context"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/meshway/meshway/agent/identity"
	"github.com/meshway/meshway/agent/kube"
	"github.com/meshway/meshway/agent/kube/kubetest"
	"github.com/meshway/meshway/agent/notify"
)

// fixture is a namespace of an API server.
type fixture struct {
	client    kubernetes.Interface
	namespace string
}

// Run runs the contract on one API server, each test in its own namespace.
func Run(t *testing.T, cluster kubetest.Cluster) { contract().Run(t, cluster) }

// RunFake runs the contract on API servers in memory, each test on its own and in
// fake time.
func RunFake(t *testing.T) {
	contract().RunFake(t, kubetest.Fakes(t, kubetest.Newest))
}

func contract() kubetest.Contract[fixture] {
	return kubetest.Contract[fixture]{Fixture: newFixture, Tests: map[string]func(*testing.T, fixture){
		"a missing Secret is an error":                      testMissing,
		"what a gateway saves is delivered to its siblings": testSave,
		"one of two concurrent saves is outdated":           testOutdated,
		"other content of the Secret is kept":               testForeign,
		"an error does not quote the content of the Secret": testBroken,
		"an empty Secret has no shared state":               testEmpty,
	}}
}

func newFixture(t *testing.T, cluster kubetest.Cluster) fixture {
	t.Helper()
	return fixture{cluster.Kubernetes, cluster.NewNamespace(t, "siblings")}
}

// gateway runs the Siblings of one gateway until the test ends.
func (f fixture) gateway(t *testing.T) *kube.Siblings {
	t.Helper()
	s, err := kube.NewSiblings(kube.SiblingsConfig{
		Client: f.client, Namespace: f.namespace, Secret: "identity", GatewayLabel: "gateway=true",
		Gateways: func() ([]string, bool) { return nil, false }, GatewaysChanged: func() <-chan struct{} { return nil },
	})
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		assert.NoError(t, <-ended)
	})
	return s
}

// create creates the Secret as the chart does.
func (f fixture) create(t *testing.T, data map[string][]byte) {
	t.Helper()
	_, err := f.client.CoreV1().Secrets(f.namespace).Create(t.Context(), &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: "identity", Labels: map[string]string{"app.kubernetes.io/managed-by": "Helm"}}, Data: data,
	}, metav1.CreateOptions{})
	require.NoError(t, err)
}

// await waits until holds accepts the shared state.
func await(t *testing.T, s *kube.Siblings, what string, holds func(identity.SharedState, error) bool) identity.SharedState {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), kubetest.Timeout)
	defer cancel()
	var shared identity.SharedState
	var err error
	held := notify.LoopUntil(ctx, 0, func(context.Context) bool {
		shared, err = s.Current()
		return holds(shared, err)
	}, s.Changed)
	require.True(t, held, "timeout: %s: %v", what, err)
	return shared
}

func known(_ identity.SharedState, err error) bool { return err == nil }

func content() identity.SharedState {
	return identity.SharedState{
		Certificate: []byte("certificate"), Key: identity.CAKeyOf([]byte("the key")), Left: "0b5bcf6e-6f2d-4c8c-9a56-0a3c6a1f0d11", Released: true,
		Lock: &identity.MembershipLock{Gateway: "a", At: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)},
		Membership: &identity.DatacenterMembership{
			FederationID: "123e4567-e89b-12d3-a456-426614174000", FederationName: "prod", Overlay: netip.MustParsePrefix("fd12:3456:789a::/48"),
			Contacts: []identity.Contact{
				{Gateway: "east/a", Pin: "00ff", Controls: []string{"192.0.2.1:7443", "[2001:db8::1]:7443"}},
				{Gateway: "west/gw", Pin: "ff00", Sponsor: "east", Until: time.Date(2026, 1, 9, 3, 4, 5, 0, time.UTC)},
			},
		},
	}
}

func testMissing(t *testing.T, f fixture) {
	s := f.gateway(t)
	await(t, s, "the Secret is missing", func(_ identity.SharedState, err error) bool {
		return err != nil && err.Error() == fmt.Sprintf("secret %s/identity does not exist: run helm upgrade to recreate it", f.namespace)
	})
	require.ErrorContains(t, s.Save(t.Context(), identity.SharedState{}), "does not exist")
	f.create(t, nil)
	await(t, s, "the Secret exists", known)
}

func testEmpty(t *testing.T, f fixture) {
	f.create(t, nil)
	shared := await(t, f.gateway(t), "the Secret was read", known)
	assert.True(t, shared.Equal(identity.SharedState{}))
}

func testSave(t *testing.T, f fixture) {
	f.create(t, nil)
	first, second := f.gateway(t), f.gateway(t)
	want := content()
	want.Version = await(t, first, "the Secret was read", known).Version
	require.NoError(t, first.Save(t.Context(), want))
	now, err := first.Current()
	require.NoError(t, err)
	assert.True(t, now.Equal(want), "Save waits until Current returns the saved state: %+v", now)
	assert.NotEqual(t, want.Version, now.Version)
	await(t, second, "the sibling has the saved state", func(c identity.SharedState, err error) bool { return err == nil && c.Equal(want) })

	cleared := identity.SharedState{Version: now.Version, Certificate: now.Certificate, Key: now.Key}
	require.NoError(t, first.Save(t.Context(), cleared))
	await(t, second, "the sibling has the cleared state", func(c identity.SharedState, err error) bool { return err == nil && c.Equal(cleared) })
}

func testOutdated(t *testing.T, f fixture) {
	f.create(t, nil)
	first, second := f.gateway(t), f.gateway(t)
	var saves []error
	results := make(chan error, 2)
	version := await(t, first, "the Secret was read", known).Version
	await(t, second, "the second gateway has read it", known)
	for name, s := range map[string]*kube.Siblings{"a": first, "b": second} {
		want := identity.SharedState{Version: version, Lock: &identity.MembershipLock{Gateway: name, At: time.Unix(0, 0).UTC()}}
		go func() { results <- s.Save(context.Background(), want) }()
	}
	saves = append(saves, <-results, <-results)
	assert.Contains(t, saves, nil)
	assert.Contains(t, saves, identity.ErrOutdated)
}

func testForeign(t *testing.T, f fixture) {
	f.create(t, map[string][]byte{"note": []byte("of another writer")})
	s := f.gateway(t)
	want := content()
	want.Version = await(t, s, "the Secret was read", known).Version
	require.NoError(t, s.Save(t.Context(), want))
	secret, err := f.client.CoreV1().Secrets(f.namespace).Get(t.Context(), "identity", metav1.GetOptions{})
	require.NoError(t, err)
	assert.Equal(t, "of another writer", string(secret.Data["note"]))
	assert.Equal(t, "Helm", secret.Labels["app.kubernetes.io/managed-by"])
	assert.Equal(t, "the key", string(secret.Data["ca.key"]))
}

func testBroken(t *testing.T, f fixture) {
	f.create(t, map[string][]byte{"membership.json": []byte("{secret words")})
	await(t, f.gateway(t), "it is an error", func(_ identity.SharedState, err error) bool {
		return err != nil && err.Error() == fmt.Sprintf("secret %s/identity: key membership.json is not valid: "+
			"remove the key; a gateway that is a member recreates it", f.namespace)
	})
}

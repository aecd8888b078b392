package kube

import (
	"context"
	"errors"
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"
)

var installed = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func agents(ready int32) *appsv1.DaemonSet {
	return &appsv1.DaemonSet{
		ObjectMeta: metav1.ObjectMeta{Namespace: "meshway-system", Name: "meshway", CreationTimestamp: metav1.NewTime(installed)},
		Status:     appsv1.DaemonSetStatus{NumberReady: ready},
	}
}

func job(name string, created time.Time) *batchv1.Job {
	return &batchv1.Job{ObjectMeta: metav1.ObjectMeta{Namespace: "meshway-system", Name: name, CreationTimestamp: metav1.NewTime(created)}}
}

// watch runs a watcher for a minute and then calls during while it runs.
func watch(t *testing.T, client *fake.Clientset, during func(*UninstallWatcher)) {
	t.Helper()
	w, err := NewUninstallWatcher(UninstallConfig{Client: client, Namespace: "meshway-system", DaemonSet: "meshway"})
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- w.Run(ctx) }()
	time.Sleep(time.Minute)
	during(w)
	cancel()
	require.NoError(t, <-ended)
}

func TestOnlyTheJobOfThisInstallationUninstalls(t *testing.T) {
	later := installed.Add(time.Hour)
	for name, test := range map[string]struct {
		objects []runtime.Object
		want    bool
	}{
		"no Job":                           {[]runtime.Object{agents(2)}, false},
		"no DaemonSet":                     {nil, false},
		"a Job without a DaemonSet":        {[]runtime.Object{job("meshway-uninstall", later)}, false},
		"a Job of an earlier installation": {[]runtime.Object{agents(2), job("meshway-uninstall", installed.Add(-time.Second))}, false},
		"another Job":                      {[]runtime.Object{agents(2), job("other-uninstall", later)}, false},
		"the Job in the same second":       {[]runtime.Object{agents(2), job("meshway-uninstall", installed)}, true},
		"the Job of helm uninstall":        {[]runtime.Object{agents(2), job("meshway-uninstall", later)}, true},
		"the Job when no agent is ready":   {[]runtime.Object{agents(0), job("meshway-uninstall", later)}, true},
		"the Job among others":             {[]runtime.Object{agents(2), job("a-uninstall", later), job("meshway-uninstall", later)}, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				watch(t, fake.NewClientset(test.objects...), func(w *UninstallWatcher) {
					assert.Equal(t, test.want, w.Current())
				})
			})
		})
	}
}

func TestDeletingTheJobCancelsTheUninstallation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := fake.NewClientset(agents(2), job("meshway-uninstall", installed.Add(time.Hour)))
		watch(t, client, func(w *UninstallWatcher) {
			require.True(t, w.Current())
			changed := w.Changed()
			require.NoError(t, client.BatchV1().Jobs("meshway-system").Delete(t.Context(), "meshway-uninstall", metav1.DeleteOptions{}))
			<-changed
			assert.False(t, w.Current())
		})
	})
}

func TestFailedRequestsDoNotUninstall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := fake.NewClientset(agents(2), job("meshway-uninstall", installed.Add(time.Hour)))
		var available atomic.Bool
		client.PrependReactor("get", "daemonsets", func(clienttesting.Action) (bool, runtime.Object, error) {
			return !available.Load(), nil, errors.New("connection refused")
		})
		watch(t, client, func(w *UninstallWatcher) {
			assert.False(t, w.Current())
			available.Store(true)
			<-w.Changed()
			assert.True(t, w.Current(), "the request is retried")
		})
	})
}

func TestAgentGivesAnUninstallationMoreTimeToStart(t *testing.T) {
	for name, test := range map[string]struct{ observed, actual, want int64 }{
		"as the chart created it":            {15, 15, 45},
		"another agent was first":            {15, 45, 45},
		"the pod was first":                  {15, 240, 240},
		"the pod was first, and is observed": {240, 240, 240},
		"a chart that gives it more time":    {60, 60, 60},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				uninstall := job("meshway-uninstall", installed.Add(time.Hour))
				uninstall.Spec.ActiveDeadlineSeconds = &test.observed
				client := fake.NewClientset(agents(2), uninstall)
				client.PrependReactor("patch", "jobs", patchOfJobWithDeadline(client, uninstall, test.actual))
				watch(t, client, func(w *UninstallWatcher) {
					require.NoError(t, w.Acknowledge(t.Context()))
				})
				got, err := client.BatchV1().Jobs("meshway-system").Get(t.Context(), uninstall.Name, metav1.GetOptions{})
				require.NoError(t, err)
				assert.Equal(t, test.want, *got.Spec.ActiveDeadlineSeconds)
			})
		})
	}
}

// patchOfJobWithDeadline changes the deadline of a Job before it is patched, and returns
// the error of the API server for a failed test of a JSON patch.
func patchOfJobWithDeadline(client *fake.Clientset, observed *batchv1.Job, actual int64) clienttesting.ReactionFunc {
	return func(action clienttesting.Action) (bool, runtime.Object, error) {
		current := observed.DeepCopy()
		current.Spec.ActiveDeadlineSeconds = &actual
		if err := client.Tracker().Update(action.GetResource(), current, current.Namespace); err != nil {
			return true, nil, err
		}
		handled, patched, err := clienttesting.ObjectReaction(client.Tracker())(action)
		if err != nil {
			err = apierrors.NewGenericServerResponse(http.StatusUnprocessableEntity, "", schema.GroupResource{}, "", err.Error(), 0, false)
		}
		return handled, patched, err
	}
}

func TestAgentThatMayNotAcknowledgeAnUninstallationReturnsAnError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		uninstall := job("meshway-uninstall", installed.Add(time.Hour))
		uninstall.Spec.ActiveDeadlineSeconds = new(int64(15))
		client := fake.NewClientset(agents(2), uninstall)
		client.PrependReactor("patch", "jobs", func(clienttesting.Action) (bool, runtime.Object, error) {
			return true, nil, apierrors.NewForbidden(batchv1.Resource("jobs"), uninstall.Name, errors.New("no right"))
		})
		watch(t, client, func(w *UninstallWatcher) {
			require.ErrorContains(t, w.Acknowledge(t.Context()), "extend the deadline of job meshway-system/meshway-uninstall")
		})
	})
}

func TestAgentWithoutDaemonSetIsNeverUninstalled(t *testing.T) {
	w, err := NewUninstallWatcher(UninstallConfig{Client: fake.NewClientset(job("-uninstall", installed)), Namespace: "meshway-system"})
	require.NoError(t, err)
	require.NoError(t, w.Run(t.Context()))
	assert.False(t, w.Current())
}

func TestAwaitAgentsStoppedWaitsUntilNoAgentIsReady(t *testing.T) {
	for name, test := range map[string]struct {
		objects []runtime.Object
		want    string
	}{
		"no agent is ready":     {[]runtime.Object{agents(0)}, ""},
		"no DaemonSet":          {nil, ""},
		"a gateway stays ready": {[]runtime.Object{agents(1)}, "1 agents are still running"},
		"a node stays ready": {[]runtime.Object{agents(0), func() runtime.Object {
			nodes := agents(1)
			nodes.Name = "meshway-node"
			return nodes
		}()}, "1 agents are still running"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				start := time.Now()
				err := AwaitAgentsStopped(ctx, fake.NewClientset(test.objects...), "meshway-system", "meshway")
				if test.want != "" {
					require.ErrorContains(t, err, test.want)
					return
				}
				require.NoError(t, err)
				assert.GreaterOrEqual(t, time.Since(start), stopMinimumWait)
			})
		})
	}
}

func TestUninstallationThatHasStartedGetsALongerDeadline(t *testing.T) {
	started := job("meshway-uninstall", installed)
	client := fake.NewClientset(started)
	require.NoError(t, ExtendUninstallation(t.Context(), client, "meshway-system", "meshway", 4*time.Minute))
	got, err := client.BatchV1().Jobs("meshway-system").Get(t.Context(), "meshway-uninstall", metav1.GetOptions{})
	require.NoError(t, err)
	assert.Equal(t, int64(240), *got.Spec.ActiveDeadlineSeconds)
	err = ExtendUninstallation(t.Context(), fake.NewClientset(), "meshway-system", "meshway", time.Minute)
	assert.ErrorContains(t, err, "extend the deadline of job meshway-system/meshway-uninstall")
}

package kube

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
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

// watching runs a watcher on a cluster with these objects for a simulated minute.
func watching(t *testing.T, client *fake.Clientset, during func(*UninstallWatcher)) {
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

func TestOnlyTheJobOfThisReleaseUninstalls(t *testing.T) {
	later := installed.Add(time.Hour)
	for name, test := range map[string]struct {
		objects []runtime.Object
		want    bool
	}{
		"the agents are there":                       {[]runtime.Object{agents(2)}, false},
		"the DaemonSet is gone":                      {nil, false},
		"the DaemonSet is gone, and there is a Job":  {[]runtime.Object{job("meshway-uninstall", later)}, false},
		"a Job of an earlier release was left":       {[]runtime.Object{agents(2), job("meshway-uninstall", installed.Add(-time.Second))}, false},
		"another Job":                                {[]runtime.Object{agents(2), job("other-uninstall", later)}, false},
		"the Job of helm uninstall":                  {[]runtime.Object{agents(2), job("meshway-uninstall", later)}, true},
		"the Job, while all agents are being ended":  {[]runtime.Object{agents(0), job("meshway-uninstall", later)}, true},
		"the Job, with others around it in the past": {[]runtime.Object{agents(2), job("a-uninstall", later), job("meshway-uninstall", later)}, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				watching(t, fake.NewClientset(test.objects...), func(w *UninstallWatcher) {
					assert.Equal(t, test.want, w.Current())
				})
			})
		})
	}
}

func TestUninstallationIsCalledOffByDeletingItsJob(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := fake.NewClientset(agents(2), job("meshway-uninstall", installed.Add(time.Hour)))
		watching(t, client, func(w *UninstallWatcher) {
			require.True(t, w.Current())
			changed := w.Changed()
			require.NoError(t, client.BatchV1().Jobs("meshway-system").Delete(t.Context(), "meshway-uninstall", metav1.DeleteOptions{}))
			<-changed
			assert.False(t, w.Current())
		})
	})
}

func TestAPIServerThatDoesNotAnswerUninstallsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := fake.NewClientset(agents(2), job("meshway-uninstall", installed.Add(time.Hour)))
		var back atomic.Bool
		client.PrependReactor("get", "daemonsets", func(clienttesting.Action) (bool, runtime.Object, error) {
			return !back.Load(), nil, errors.New("connection refused")
		})
		watching(t, client, func(w *UninstallWatcher) {
			assert.False(t, w.Current())
			back.Store(true)
			<-w.Changed()
			assert.True(t, w.Current(), "it asks again")
		})
	})
}

func TestAgentOutsideOfTheChartIsNeverUninstalled(t *testing.T) {
	w, err := NewUninstallWatcher(UninstallConfig{Client: fake.NewClientset(job("-uninstall", installed)), Namespace: "meshway-system"})
	require.NoError(t, err)
	require.NoError(t, w.Run(t.Context()))
	assert.False(t, w.Current())
}

func TestAPIObjectsWaitForTheAgents(t *testing.T) {
	for name, test := range map[string]struct {
		objects []runtime.Object
		want    string
	}{
		"all have retired":        {[]runtime.Object{agents(0)}, ""},
		"there are none":          {nil, ""},
		"one is at work for ever": {[]runtime.Object{agents(1)}, "1 agents are still running"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				begun := time.Now()
				err := AwaitAgentsStopped(ctx, fake.NewClientset(test.objects...), "meshway-system", "meshway")
				if test.want != "" {
					require.ErrorContains(t, err, test.want)
					return
				}
				require.NoError(t, err)
				assert.GreaterOrEqual(t, time.Since(begun), stopMinimumWait)
			})
		})
	}
}

package property

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	clienttesting "k8s.io/client-go/testing"

	"github.com/meshway/meshway/agent/kube"
	"github.com/meshway/meshway/agent/kube/kubetest"
	"github.com/meshway/meshway/agent/notify"
	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/consensus/catalog"
)

func memberReachability() plan.Reachability {
	return plan.Reachability{State: plan.IsMember, Self: "east/gw0", Federation: catalog.Federation{ID: "id-1"}, Synced: true}
}

func TestDesiredStateIsUnknownUntilTheCatalogIsSynced(t *testing.T) {
	r := memberReachability()
	assert.Equal(t, map[string]string{ClusterID: "east", ClusterSet: "id-1"}, desiredState(r).values)
	r.Synced = false
	assert.False(t, desiredState(r).known)
	assert.False(t, desiredState(plan.Reachability{State: plan.MembershipChanging}).known)
}

func TestChangesThatDoNotConcernThePropertiesCauseNoRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cluster := kubetest.NewFake(t, kubetest.Newest)
		var requests, problems atomic.Int64
		cluster.React(func(clienttesting.Action) (bool, runtime.Object, error) {
			requests.Add(1)
			return false, nil, nil
		})
		var changed notify.Broadcast
		snapshot := func() plan.Reachability {
			s := memberReachability()
			s.Problems = make([]plan.Problem, problems.Load())
			return s
		}
		w := NewWriter(Config{Client: cluster.Dynamic, Reachability: snapshot, Changed: changed.Changed})
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- w.Run(ctx) }()
		synctest.Wait()
		before := requests.Load()
		assert.NotZero(t, before)
		for range 3 {
			time.Sleep(time.Second)
			problems.Add(1)
			changed.Notify()
			synctest.Wait()
		}
		assert.Equal(t, before, requests.Load())
		time.Sleep(kube.RecheckInterval - 3*time.Second)
		synctest.Wait()
		assert.Greater(t, requests.Load(), before, "the changes did not delay the comparison")
		stop()
		assert.NoError(t, <-done)
	})
}

func TestCRDThatIsInstalledLaterIsFoundWithoutAnEvent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cluster := kubetest.NewFake(t, kubetest.Newest)
		var missing atomic.Bool
		missing.Store(true)
		cluster.React(func(a clienttesting.Action) (bool, runtime.Object, error) {
			return missing.Load(), nil, apierrors.NewNotFound(a.GetResource().GroupResource(), "")
		})
		var reports atomic.Int64
		w := NewWriter(Config{
			Client: cluster.Dynamic, Reachability: memberReachability, Changed: func() <-chan struct{} { return nil },
			Report: func([]plan.Problem) { reports.Add(1) },
		})
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- w.Run(ctx) }()
		time.Sleep(5 * kube.RecheckInterval)
		synctest.Wait()
		assert.EqualValues(t, 1, reports.Load(), "the problem is reported once")
		missing.Store(false)
		time.Sleep(kube.RecheckInterval)
		synctest.Wait()
		_, have, err := find(t.Context(), cluster.Dynamic)
		assert.NoError(t, err)
		assert.Len(t, have, 2)
		stop()
		assert.NoError(t, <-done)
		assert.EqualValues(t, 2, reports.Load(), "and its end")
	})
}

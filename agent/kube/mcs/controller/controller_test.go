package controller_test

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	clienttesting "k8s.io/client-go/testing"

	"github.com/meshway/meshway/agent/kube/mcs"
	"github.com/meshway/meshway/agent/kube/mcs/controller"
	"github.com/meshway/meshway/agent/kube/mcs/mcstest"
	"github.com/meshway/meshway/agent/plan"
)

func TestControllersKeepTheirPromises(t *testing.T) {
	mcstest.Run(t, func(*testing.T) mcstest.Cluster { return mcstest.NewFake() })
}

// Without the CRDs nothing works, the operator is told, and they are found when
// they come.
func TestMissingCRDsAreToldAndFoundLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cluster := mcstest.NewFake()
		var missing atomic.Bool
		missing.Store(true)
		cluster.React(func(a clienttesting.Action) (bool, runtime.Object, error) {
			return missing.Load(), nil, apierrors.NewNotFound(a.GetResource().GroupResource(), "")
		})
		var told []string
		c, err := controller.New(controller.Config{
			Datacenter: "east", Identity: "gw0", Namespace: "default", Catalog: mcstest.NewCatalog(t, "east"),
			Outage: func() mcs.Outage { return mcs.Outage{} }, Kubernetes: cluster.Kubernetes, MCS: cluster.MCS,
			Report: func(problems []plan.Problem) {
				text := ""
				for _, p := range problems {
					text = p.Message
				}
				told = append(told, text)
			},
		})
		require.NoError(t, err)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go func() { assert.NoError(t, c.Run(ctx)) }()
		time.Sleep(time.Minute)
		synctest.Wait()
		require.Len(t, told, 1, "once, not at each try")
		assert.Contains(t, told[0], "apply deploy/chart/meshway/crds")
		missing.Store(false)
		time.Sleep(time.Minute)
		synctest.Wait()
		assert.True(t, c.Status().Leading)
		assert.Equal(t, "", told[len(told)-1])
		cancel()
		synctest.Wait()
	})
}

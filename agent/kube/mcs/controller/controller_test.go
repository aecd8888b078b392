package controller_test

import (
	"testing"

	"github.com/meshway/meshway/agent/kube/kubetest"
	"github.com/meshway/meshway/agent/kube/mcs/mcstest"
)

func TestControllersFulfilTheirContract(t *testing.T) {
	for _, release := range []kubetest.Release{kubetest.Oldest, kubetest.OnlyAlpha, kubetest.Newest} {
		t.Run(string(release), func(t *testing.T) {
			mcstest.RunFake(t, release)
		})
	}
}

package controller_test

import (
	"testing"

	"github.com/meshway/meshway/agent/kube/mcs/mcstest"
)

func TestControllersKeepTheirPromises(t *testing.T) {
	mcstest.Run(t, func(*testing.T) mcstest.Cluster { return mcstest.NewFake() })
}

//go:build linux && root

package kernel_test

import (
	"testing"

	"github.com/meshway/meshway/routes/routestest"
)

func TestKernelKeepsItsPromises(t *testing.T) {
	routestest.Contract(t, func(t *testing.T) routestest.World { return newWorld(t) })
}

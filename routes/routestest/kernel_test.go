package routestest_test

import (
	"net/netip"
	"testing"

	"github.com/meshway/meshway/routes/routestest"
)

func TestFakeKernelMeetsTheContract(t *testing.T) {
	routestest.Contract(t, func(*testing.T) routestest.World { return world() })
}

func world() *routestest.Kernel {
	k := routestest.NewKernel()
	k.AddDevice("mesh0", netip.MustParseAddr("10.1.0.1"))
	k.AddDevice("mesh1", netip.MustParseAddr("fd00:1::1"))
	return k
}

func TestFakeFilterMeetsTheContract(t *testing.T) {
	routestest.FilterContract(t, func(*testing.T) routestest.FilterWorld { return routestest.NewFilter() })
}

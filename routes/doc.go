// Package routes describes policy rules, routes, nexthops, sysctls and the
// firewall as values, computes the difference from the kernel's state (Diff), and
// applies it (Applier).
//
// The package is pure. The real Kernel is routes/kernel and the real Filter is
// routes/nft. A new Kernel implements Observe, Sysctls, Apply, Lookup and Watch,
// and runs the contract tests of package routestest on a routestest.World, which
// is the Kernel plus the operations of another program on the same host:
//
//	func TestMyKernelMeetsTheContract(t *testing.T) {
//		routestest.Contract(t, func(t *testing.T) routestest.World { return newMyWorld(t) })
//	}
package routes

// Package tunnel describes WireGuard interfaces as values, computes their
// difference from the observed ones (Diff), and applies the difference through
// a Device (Apply). It adopts existing interfaces and never recreates one, so
// that the sessions survive a restart of the agent.
//
// The package is pure. The real Device is tunnel/device, which creates
// interfaces through tunnel/kernel or tunnel/userspace. A new Device implements
// List, Create, Configure and Remove, and runs the table of tests in
// tunneltest.TestDevice:
//
//	func TestMyDeviceMeetsTheContract(t *testing.T) {
//		tunneltest.TestDevice(t, 25, func(t *testing.T) tunnel.Device { return mydevice.New() })
//	}
package tunnel

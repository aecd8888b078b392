// Package kernel implements routes.Kernel on Linux: with raw rtnetlink messages
// for nexthop objects, routes and rules, and with files below /proc/sys. It acts
// on the network namespace of the calling thread. On other systems every
// operation returns errors.ErrUnsupported.
package kernel

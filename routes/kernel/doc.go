// Package kernel is the routes.Kernel of Linux: raw rtnetlink messages for
// nexthop objects, routes and rules, and files below /proc/sys. It acts on the
// network namespace of the calling thread. Elsewhere than on Linux every
// operation returns errors.ErrUnsupported.
package kernel

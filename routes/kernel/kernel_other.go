//go:build !linux

package kernel

import (
	"context"
	"errors"

	"github.com/meshway/meshway/routes"
)

// Kernel is a routes.Kernel without function on this system.
type Kernel struct{}

var _ routes.Kernel = (*Kernel)(nil)

// New returns a Kernel whose operations return errors.ErrUnsupported.
func New(Options) *Kernel { return &Kernel{} }

// Observe is not supported.
func (*Kernel) Observe(context.Context, int) (routes.Observed, error) {
	return routes.Observed{}, errors.ErrUnsupported
}

// Sysctls is not supported.
func (*Kernel) Sysctls(context.Context, []string) ([]routes.Sysctl, error) {
	return nil, errors.ErrUnsupported
}

// CheckSysctls is not supported.
func (*Kernel) CheckSysctls([]routes.Sysctl) error { return errors.ErrUnsupported }

// Apply is not supported.
func (*Kernel) Apply(context.Context, routes.Change) error { return errors.ErrUnsupported }

// Lookup is not supported.
func (*Kernel) Lookup(context.Context, routes.Query) (routes.Lookup, error) {
	return routes.Lookup{}, errors.ErrUnsupported
}

// Watch is not supported.
func (*Kernel) Watch(context.Context, func()) error { return errors.ErrUnsupported }

// HostRoutes is not supported.
func (*Kernel) HostRoutes(context.Context) ([]routes.HostRoute, error) {
	return nil, errors.ErrUnsupported
}

// PolicyRoutes is not supported.
func (*Kernel) PolicyRoutes(context.Context) ([]routes.HostRoute, error) {
	return nil, errors.ErrUnsupported
}

// Close does nothing.
func (*Kernel) Close() error { return nil }

//go:build !linux

package nft

import (
	"context"
	"errors"

	"github.com/meshway/meshway/routes"
	"github.com/meshway/meshway/routes/ruleset"
)

// Filter is a routes.Filter without function on this system.
type Filter struct{}

var _ routes.Filter = (*Filter)(nil)

// New returns a filter whose operations return errors.ErrUnsupported.
func New() *Filter { return &Filter{} }

// Apply is not supported.
func (*Filter) Apply(context.Context, routes.Firewall) error { return errors.ErrUnsupported }

// State is not supported.
func (*Filter) State(context.Context) (routes.TableState, error) {
	return routes.TableAbsent, errors.ErrUnsupported
}

// Remove is not supported.
func (*Filter) Remove(context.Context) error { return errors.ErrUnsupported }

// Counters is not supported.
func (*Filter) Counters(context.Context) ([]routes.Counter, error) { return nil, errors.ErrUnsupported }

// Others is not supported.
func (*Filter) Others(context.Context) (ruleset.Ruleset, error) {
	return ruleset.Ruleset{}, errors.ErrUnsupported
}

// Check is not supported.
func Check(context.Context) error { return errors.ErrUnsupported }

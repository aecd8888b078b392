package tunneltest

import (
	"context"
	"fmt"

	"github.com/meshway/meshway/tunnel"
)

// ReadOnly is a device on which every change fails.
type ReadOnly struct{ tunnel.Device }

// Configure fails.
func (ReadOnly) Configure(_ context.Context, c tunnel.Change) error {
	return fmt.Errorf("configured: %s", c)
}

// Create fails.
func (ReadOnly) Create(_ context.Context, name string, _ int) error {
	return fmt.Errorf("created %s", name)
}

// Remove fails.
func (ReadOnly) Remove(_ context.Context, name string) error {
	return fmt.Errorf("removed %s", name)
}

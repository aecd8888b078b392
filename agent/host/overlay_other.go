//go:build !linux

package host

import (
	"context"
	"net/netip"
)

// overlays returns no devices: all gateways run Linux.
func (Host) overlays() ([]string, error) { return nil, nil }

// LinkMTU returns 0: all gateways run Linux.
func (Host) LinkMTU(context.Context, []netip.Addr) int { return 0 }

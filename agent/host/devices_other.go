//go:build !linux

package host

import (
	"context"
	"net/netip"
)

// netDevice is an interface.
type netDevice struct{}

// devices returns none: all gateways run Linux.
func devices() ([]netDevice, error) { return nil, nil }

func (Host) encapsulating([]netDevice) []string { return nil }

func (Host) lanes([]netDevice) map[string]bool { return nil }

func uplinks([]netDevice, map[string]bool, []string) []string { return nil }

func bridgePorts([]netDevice) map[string][]string { return nil }

func virtual([]netDevice) map[string]bool { return nil }

func unstable() (map[netip.Addr]bool, error) { return nil, nil }

// LinkMTU returns 0: all gateways run Linux.
func (Host) LinkMTU(context.Context, []netip.Addr) int { return 0 }

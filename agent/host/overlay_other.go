//go:build !linux

package host

// overlays returns no devices: all gateways run Linux.
func (Host) overlays() ([]string, error) { return nil, nil }

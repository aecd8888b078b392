//go:build !linux

package host

// overlays are not looked for: only Linux hosts are gateways.
func (Host) overlays() ([]string, error) { return nil, nil }

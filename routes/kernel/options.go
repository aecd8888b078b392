package kernel

import "strings"

// Options are the choices of an adapter; the zero value works.
type Options struct {
	// Sysctls remembers what sysctls were before Meshway set them. Nil: nothing
	// is remembered, hence nothing is put back.
	Sysctls SysctlStore
	// DevicePrefix narrows Watch to links whose name begins with it. Empty: all links.
	DevicePrefix string
}

func (o Options) concerns(device string) bool { return strings.HasPrefix(device, o.DevicePrefix) }

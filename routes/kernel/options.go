package kernel

import "strings"

// Options are the choices of an adapter; the zero value works.
type Options struct {
	// Sysctls remembers what sysctls were before Meshway set them. Nil: nothing
	// is remembered, hence nothing is put back.
	Sysctls SysctlStore
	// SysctlRoot is where /proc/sys is that may be written: below net it shows
	// the settings of the calling thread's namespace. Empty: /proc/sys itself,
	// which runtimes mount read-only into containers.
	SysctlRoot string
	// DevicePrefix narrows Watch to links whose name begins with it. Empty: all links.
	DevicePrefix string
}

func (o Options) concerns(device string) bool { return strings.HasPrefix(device, o.DevicePrefix) }

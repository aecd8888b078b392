package kernel

import "strings"

// Options configures a Kernel. The zero value is valid.
type Options struct {
	// Sysctls stores the values that sysctls had before Meshway set them. Nil:
	// nothing is stored, and nothing is restored.
	Sysctls SysctlStore
	// SysctlRoot is a writable mount of /proc/sys; below net it has the settings
	// of the calling thread's namespace. Empty: /proc/sys, which is read-only in
	// most containers.
	SysctlRoot string
	// DevicePrefix restricts Watch to links whose name has the prefix. Empty: all links.
	DevicePrefix string
}

// concerns reports whether Watch reports changes of the device.
func (o Options) concerns(device string) bool { return strings.HasPrefix(device, o.DevicePrefix) }
